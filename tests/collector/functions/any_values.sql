llmtrace_double_text(1e21)
-- "1e+21"

llmtrace_double_text(0.5)
-- "0.5"

llmtrace_double_text(1e-7)
-- "1e-7"

llmtrace_double_text(100.0)
-- "100"

llmtrace_double_text(nan)
-- "nan"

llmtrace_double_json(0.5)
-- "0.5"

llmtrace_double_json(inf)
-- "\"inf\""

llmtrace_double_json(nan)
-- "\"nan\""

llmtrace_scalar_json(<scalar string 'a"b'>)
-- "\"a\\\"b\""

llmtrace_scalar_json_without_bytes(<scalar string 'a"b'>)
-- "\"a\\\"b\""

llmtrace_value_text(<string 'a"b'>)
-- "a\"b"

llmtrace_scalar_json(<scalar int -9223372036854775808>)
-- "-9223372036854775808"

llmtrace_value_text(<int -9223372036854775808>)
-- "-9223372036854775808"

llmtrace_scalar_json(<scalar double 1e21>)
-- "1e+21"

llmtrace_value_text(<double 1e21>)
-- "1e+21"

llmtrace_scalar_json(<scalar double inf>)
-- "\"inf\""

llmtrace_value_text(<double inf>)
-- "inf"

llmtrace_scalar_json(<scalar bool true>)
-- "true"

llmtrace_value_text(<bool true>)
-- "true"

llmtrace_scalar_json(<scalar bytes 'xyz'>)
-- "\"eHl6\""

llmtrace_scalar_json_without_bytes(<scalar bytes 'xyz'>)
-- "\"[redacted:bytes]\""

llmtrace_value_text(<bytes 'xyz'>)
-- "eHl6"

llmtrace_scalar_json(<scalar none>)
-- "null"

llmtrace_value_text(<none>)
-- ""

llmtrace_value_text(<array string 'a'; int 1; bytes 'x'; bool false; none>)
-- "[\"a\",1,\"eA==\",false,null]"

llmtrace_array_json(<array string 'a'; int 1; bytes 'x'; bool false; none>)
-- "[\"a\",1,\"eA==\",false,null]"

llmtrace_array_json_without_bytes(<array string 'a'; int 1; bytes 'x'; bool false; none>)
-- "[\"a\",1,\"[redacted:bytes]\",false,null]"

llmtrace_value_texts([<array string 'a'; int 1; bytes 'x'; bool false; none>, <int 7>])
-- ["[\"a\",1,\"eA==\",false,null]", "7"]

llmtrace_searched_text(<array string 'a'; int 1; bytes 'x'; bool false; none>)
-- "[\"a\",1,\"[redacted:bytes]\",false,null]"

llmtrace_searched_text(<string 'ann@b.io'>)
-- "ann@b.io"

llmtrace_searched_text(<int 4111111111111111>)
-- ""

llmtrace_searched_text(<bytes 'CANARY'>)
-- ""

llmtrace_searched_texts([<string 's'>, <bool false>])
-- ["s", ""]

llmtrace_cleaned_text(<string 'ann@b.io'>, '[redacted:email]')
-- "[redacted:email]"

llmtrace_cleaned_text(<int 4111111111111111>, '')
-- "4111111111111111"

llmtrace_cleaned_text(<bytes 'CANARY'>, '')
-- "[redacted:bytes]"

llmtrace_cleaned_text(<array string 'a'; int 1; bytes 'x'; bool false; none>, '[1]')
-- "[1]"

llmtrace_cleaned_text(<double 0.5>, '')
-- "0.5"

llmtrace_cleaned_text(<bool true>, '')
-- "true"

llmtrace_cleaned_text(<none>, '')
-- ""

llmtrace_cleaned_texts([<string 'x'>, <int 5>], ['y', ''])
-- ["y", "5"]

llmtrace_attributes(CAST([tuple('a', <string 'first'>), tuple('b', <int 2>), tuple('a', <string 'last'>)] AS <attributes>))
-- {"a": "last", "b": "2"}

llmtrace_attribute_map(['a', 'b', 'a'], ['1', '2', '3'])
-- {"a": "3", "b": "2"}

llmtrace_map_of_first(['a', 'b', 'a'], ['1', '2', '3'])
-- {"a": "1", "b": "2"}

llmtrace_map_of_first(emptyArrayString(), emptyArrayString())
-- {}
