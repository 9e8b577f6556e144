llmtrace_escapes_joined('a\\nb')
-- "ab"

llmtrace_escapes_joined('plain')
-- "plain"

llmtrace_escapes_restored(llmtrace_escapes_joined('a\\nb \\u00e4 \\"x\\" \\\\n'))
-- "a\\nb \\u00e4 \\\"x\\\" \\\\n"

llmtrace_split_by_match('call 12 or 34', '(^|[^0-9])([0-9]+)')
-- ["call ", "12", " or ", "34", ""]

llmtrace_split_by_match('none', '(^|[^0-9])([0-9]+)')
-- ["none"]

llmtrace_ip_or_mark('fe80::1:2', 'X')
-- "X"

llmtrace_ip_or_mark('::1', 'X')
-- "::1"

llmtrace_ip_or_mark('12:30:45', 'X')
-- "12:30:45"

llmtrace_phone_or_mark('+49 228 1234567', 'X')
-- "X"

llmtrace_phone_or_mark('0228 1234567', 'X')
-- "X"

llmtrace_phone_or_mark('01-2345678', 'X')
-- "01-2345678"

llmtrace_wide_plain('１３８－００１３')
-- "138-0013"

llmtrace_wide_plain('（没有）')
-- "（没有）"

llmtrace_is_identity('11010519491231002X')
-- 1

llmtrace_is_identity('110105194912310021')
-- 0

llmtrace_is_identity('1101051949123100')
-- 0

llmtrace_is_card('4111111111111111')
-- 1

llmtrace_is_card('4111111111111112')
-- 0

llmtrace_is_card('0000000000000000')
-- 0

llmtrace_is_card('41111')
-- 0

llmtrace_is_card('8613800138004')
-- 0

llmtrace_is_iban('DE89370400440532013000')
-- 1

llmtrace_is_iban('DE89370400440532013001')
-- 0

llmtrace_is_iban('ZZ89370400440532013000')
-- 0

llmtrace_number_beginnings('12 34')
-- ["12 34", "12"]

llmtrace_number_or_mark('4111 1111 1111 1111 22', 'N', 'I', 'C')
-- "C 22"

llmtrace_number_or_mark('DE89 3704 0044 0532 0130 00', 'N', 'I', 'C')
-- "I"

llmtrace_number_or_mark('110105 19491231 002X', 'N', 'I', 'C')
-- "N"

llmtrace_number_or_mark('1234567890123456', 'N', 'I', 'C')
-- "1234567890123456"

<redacted>(['mail ann@example.org', 'sk-proj-abcDEF1234567890abcdefGHIJ', 'CANARY-1 and CANARY-22', 'nothing'])
-- ["mail [redacted:email]", "[redacted:key]", "[redacted:own] and [redacted:own]", "nothing"]

<redacted>(['{"a":"line\\n+49 228 1234567"}'])
-- ["{\"a\":\"line\\n[redacted:phone]\"}"]

<redacted>_concerns('mail ann@b.io')
-- true

<redacted>_concerns('plain text')
-- false

<redacted>_map(map('k', 'ann@example.org'))
-- {"k": "[redacted:email]"}

<redacted>_attributes(CAST([tuple('CANARY-7', <string 'so CANARY-8 it is'>), tuple('n', <int 4111111111111111>)] AS <attributes>))
-- {"n": "4111111111111111", "[redacted:own]": "so [redacted:own] it is"}
