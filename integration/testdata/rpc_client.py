"""Calls fib as the sixth RabbitMQ tutorial does, and prints a line for each reply.

usage: rpc_client.py URL REPLY_TO BODY...

REPLY_TO is amq.rabbitmq.reply-to, or empty for an exclusive queue that the server names.
"""

import sys
import uuid

import pika

url, reply_to, *bodies = sys.argv[1:]
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
if not reply_to:
    reply_to = channel.queue_declare(queue="", exclusive=True).method.queue

waiting = {str(uuid.uuid4()): body for body in bodies}  # by correlation ID, in the order of bodies
replies = {}


def on_reply(_channel, _method, properties, body):
    if properties.correlation_id not in waiting or properties.correlation_id in replies:
        sys.exit(f"unexpected reply: {properties} {body}")
    replies[properties.correlation_id] = body.decode()


channel.basic_consume(queue=reply_to, on_message_callback=on_reply, auto_ack=True)
for correlation_id, body in waiting.items():
    channel.basic_publish(
        exchange="",
        routing_key="rpc_queue",
        properties=pika.BasicProperties(reply_to=reply_to, correlation_id=correlation_id),
        body=body,
    )
while len(replies) < len(waiting):
    connection.process_data_events(time_limit=None)
for correlation_id in waiting:
    print(replies[correlation_id])
connection.close()
