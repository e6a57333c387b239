"""Reads OTLP's JSON by its schema, strictly, and prints each log record: FILE."""

import json
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber

with open(sys.argv[1], encoding="utf-8") as file:
    request = json_format.Parse(file.read(), ExportLogsServiceRequest(), ignore_unknown_fields=False)


def value(any_value):
    return getattr(any_value, any_value.WhichOneof("value"))


for resource in request.resource_logs:
    about = {pair.key: value(pair.value) for pair in resource.resource.attributes}
    for scope in resource.scope_logs:
        for record in scope.log_records:
            print(json.dumps({
                "service": about["service.name"],
                "time": str(record.time_unix_nano),
                "severity": SeverityNumber.Name(record.severity_number),
                "body": value(record.body),
                "attributes": {pair.key: value(pair.value) for pair in record.attributes},
            }))
