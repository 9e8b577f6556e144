-- Books that were chosen before the upgrade.
INSERT INTO books_in_effect (Book, At)
SELECT Book, At FROM price_books
WHERE (Book, At) NOT IN (SELECT Book, At FROM books_in_effect);
