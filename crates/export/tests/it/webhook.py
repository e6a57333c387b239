"""Whether the library of Standard Webhooks takes a request: KEY FILE."""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

key, path = sys.argv[1:]
with open(path, encoding="utf-8") as file:
    request = json.load(file)
webhook = Webhook(key)
webhook.verify(request["body"], request["headers"])
try:
    webhook.verify(request["body"].replace("pass", "fail"), request["headers"])
    sys.exit("a changed body is verified too")
except WebhookVerificationError:
    print("verified; a changed body is not")
