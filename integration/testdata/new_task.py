"""Fills task_queue as the second RabbitMQ tutorial does: plain text, and no idea of kinds.

usage: new_task.py URL TASK...
"""

import sys

import pika

connection = pika.BlockingConnection(pika.URLParameters(sys.argv[1]))
channel = connection.channel()
channel.queue_declare(queue="task_queue", durable=True)
for task in sys.argv[2:]:
    channel.basic_publish(
        exchange="",
        routing_key="task_queue",
        body=task,
        properties=pika.BasicProperties(delivery_mode=pika.spec.PERSISTENT_DELIVERY_MODE),
    )
connection.close()
