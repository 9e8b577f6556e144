CREATE MATERIALIZED VIEW books_in_effect_mv TO books_in_effect AS
SELECT Book, At
FROM price_books;
