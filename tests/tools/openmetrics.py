#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""openmetrics.py FILE: reads OpenMetrics text with a strict parser, and prints each sample as
NAME{label="value",...} VALUE, labels ordered. Fails on what the parser lets pass, too: a family
without HELP, a label whose value is the name of a template, samples that are not in their family."""
import re
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

text = open(sys.argv[1], encoding="utf-8", newline="").read()
assert "\r" not in text and text.endswith("\n# EOF\n") and "\n\n" not in text, "layout"
seen = set()
for family in text_string_to_metric_families(text):
    assert re.fullmatch("virt_template_[a-z_]+", family.name), family.name
    assert family.documentation.endswith("."), family.name
    assert family.type in ("counter", "gauge", "info"), family.type
    for unit in ("bytes", "seconds"):
        assert family.name.endswith("_" + unit) == (family.unit == unit), family.name
    for sample in family.samples:
        assert set(sample.labels) <= {"pool", "target", "kind", "outcome", "reason", "version"}
        labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
        line = f"{sample.name}{{{labels}}}" if labels else sample.name
        assert line not in seen, line
        seen.add(line)
        print(line, int(sample.value))
