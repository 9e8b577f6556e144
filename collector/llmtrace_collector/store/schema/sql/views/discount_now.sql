CREATE VIEW discount_now AS
SELECT * FROM discount_book FINAL
WHERE Book = (SELECT argMax(Book, At) FROM books_in_effect)
COMMENT 'The discounts of the book that is in effect';
