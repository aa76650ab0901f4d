"""Enqueues jobs as any Python program can, with pika: a type and a JSON body.

usage: enqueue.py URL QUEUE
"""

import decimal
import json
import sys
import time

import pika

url, queue = sys.argv[1:]
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.confirm_delivery()  # from here on basic_publish raises where it was not kept


def enqueue(number, **properties):
    channel.basic_publish(
        exchange="errand.jobs",
        routing_key=queue,
        body=json.dumps({"N": number, "note": "\u00fcber"}),
        mandatory=True,
        properties=pika.BasicProperties(type="foreign", delivery_mode=2, **properties),
    )


enqueue(1)
enqueue(2, content_type="application/json", message_id="from-python", app_id="pika")
enqueue(3, headers={"errand-attempt": 2, "tenant": "acme", "list": [1, "two", None], "pi": decimal.Decimal("3.14")})
enqueue(4, headers={"errand-not-before": int(time.time() * 1000) + 300})
enqueue(5, headers={"errand-attempt": 2**40})  # nonsense
connection.close()
