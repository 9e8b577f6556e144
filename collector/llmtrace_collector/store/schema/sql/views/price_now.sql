CREATE VIEW price_now AS
SELECT *, Rates FROM price_book FINAL
WHERE Book = (SELECT argMax(Book, At) FROM books_in_effect)
COMMENT 'The prices of the book that is in effect';
