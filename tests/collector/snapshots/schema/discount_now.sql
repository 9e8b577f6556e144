CREATE VIEW discount_now AS
SELECT * FROM discount_book FINAL
WHERE Book = (SELECT argMax(Book, At) FROM price_books)
COMMENT 'The discounts of the book that is in effect';
