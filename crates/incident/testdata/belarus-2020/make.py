#!/usr/bin/env python3
"""Writes the series of this folder: published facts, with noise by a fixed seed."""
import random
from datetime import date, timedelta

random.seed(2020)
days = [date(2020, 8, 1) + timedelta(days=i) for i in range(31)]
election = date(2020, 8, 9)
restored = date(2020, 8, 12)


def write(name, header, comments, rows):
    with open(name, "w", newline="\n") as out:
        out.write("# Synthesised from published facts; see README.md.\n")
        out.writelines(f"# {line}\n" for line in comments)
        out.write(header + "\n")
        out.writelines(",".join(str(field) for field in row) + "\n" for row in rows)


def near(value, spread):
    return value * (1 + random.uniform(-spread, spread))


write(
    "success.csv",
    "date,target,success_ratio",
    ["entity: AS6697", "signal: share"],
    [
        (day, target, round(min(1.0, value), 3))
        for day in days
        for target, value in (
            ("psiphon.ca", near(0.99, 0.02) if day < election else random.uniform(0.02, 0.03)),
            ("wikipedia.org", near(0.985, 0.02)),
        )
    ],
)
write(
    "atlas.csv",
    "date,probes_connected",
    ["entity: BY", "signal: other"],
    [(day, 6 if election <= day < restored else random.choice([19, 19, 19, 20])) for day in days],
)
write(
    "connectivity.csv",
    "time,connectivity",
    ["entity: BY", "signal: share"],
    [
        (f"{day}T{hour:02}:00:00Z", round(near(0.5 if election <= day < restored else 1.0, 0.03), 3))
        for day in days
        for hour in range(24)
    ],
)
write(
    "tor-users.csv",
    "date,country,transport,users",
    ["signal: users"],
    [
        (day, "by", transport, round(users))
        for day in days
        for transport, users in (
            ("relay", near(7900 if day < election else 2600, 0.05)),
            ("bridge", near(1300 if day < election else 5200, 0.05)),
        )
    ],
)
