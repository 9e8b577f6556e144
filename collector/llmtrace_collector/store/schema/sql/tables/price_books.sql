CREATE TABLE price_books (
    Book String COMMENT 'The book',
    At DateTime64(3) COMMENT 'When it came into effect',
    Actor String COMMENT 'Who chose it',
    Note String COMMENT 'What they say about it'
)
ENGINE = {{ engine('MergeTree') }}
ORDER BY At
SETTINGS {% include 'parts/durable.sql' %}

COMMENT 'Which price book is in effect: the newest row''s. Going back to an older book is one more row';
