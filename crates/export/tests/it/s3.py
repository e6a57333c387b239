"""Makes the bucket, or lists what is in it: URL make|list."""

import json
import sys

import boto3

url, what = sys.argv[1:]
client = boto3.client(
    "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret"
)
if what == "make":
    client.create_bucket(Bucket="flows")
else:
    names = [item["Key"] for item in client.list_objects_v2(Bucket="flows").get("Contents", [])]
    print(json.dumps({name: client.get_object(Bucket="flows", Key=name)["Body"].read().decode() for name in names}))
