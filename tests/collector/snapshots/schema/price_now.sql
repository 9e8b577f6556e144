CREATE VIEW price_now AS
SELECT * FROM price_book FINAL
WHERE Book = (SELECT argMax(Book, At) FROM price_books)
COMMENT 'The prices of the book that is in effect';
