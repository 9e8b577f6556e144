{# The counts of usage_hour, by name. #}
Calls, Errors, UnknownUsage, StatedCost{% for count in counts %}, {{ count.name }}{% endfor %}

