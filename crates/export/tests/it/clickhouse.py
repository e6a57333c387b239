"""Runs statements, insertions and queries in ClickHouse's engine: FILE. Prints the answers as JSON."""

import json
import sys

from chdb import session

with open(sys.argv[1], encoding="utf-8") as file:
    ask = json.load(file)
engine = session.Session(ask["path"])
for statement in ask["statements"]:
    engine.query(statement)
for insert in ask["inserts"]:
    # What HTTP has in its URL is a clause here.
    settings = ", ".join(f"{name} = '{value}'" for name, value in insert["settings"].items())
    head, form = insert["query"].split(" FORMAT ")
    engine.query(f"{head} SETTINGS {settings} FORMAT {form}\n{insert['body']}")
answers = []
for query in ask["queries"]:
    text = engine.query(query, "JSONCompact").bytes().decode()
    answers.append(json.loads(text)["data"])
print(json.dumps(answers))
