{# What every rollup of calls adds up; a sampled call counts as often as it stands for. #}
    Calls SimpleAggregateFunction(sum, UInt64) COMMENT 'Calls',
    Errors SimpleAggregateFunction(sum, UInt64) COMMENT 'Calls that failed',
    UnknownUsage SimpleAggregateFunction(sum, UInt64) COMMENT 'Calls of which no tokens are known',
    StatedCost SimpleAggregateFunction(sum, Float64) COMMENT 'USD that StatedBy says they cost',
{% for count in counts %}
    {{ count.name }} SimpleAggregateFunction(sum, UInt64) COMMENT {{ count.comment.partition(';')[0] | literal }}{{ ',\n' if not loop.last }}
{%- endfor %}
