CREATE TABLE books_in_effect (
    Book String COMMENT 'The book',
    At DateTime64(3) COMMENT 'When it came into effect'
)
ENGINE = {{ engine('MergeTree') }}
ORDER BY At
SETTINGS {% include 'parts/durable.sql' %}

COMMENT 'price_books without who chose a book and why: what the views of cost need, whoever reads them';
