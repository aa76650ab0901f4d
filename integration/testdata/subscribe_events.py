"""Subscribes to an exchange as the third, fourth and fifth RabbitMQ tutorial do, and prints what comes.

usage: subscribe_events.py URL EXCHANGE TYPE COUNT KEY...
"""

import sys

import pika

url, exchange, kind, count, *keys = sys.argv[1:]
left = int(count)
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.exchange_declare(exchange=exchange, exchange_type=kind, durable=True)
queue = channel.queue_declare(queue="", exclusive=True).method.queue
for key in keys:
    channel.queue_bind(exchange=exchange, queue=queue, routing_key=key)


def callback(ch, method, properties, body):
    global left
    print(f"{method.routing_key} {properties.type} {properties.message_id} {body.decode()}", flush=True)
    left -= 1
    if left == 0:
        ch.stop_consuming()


channel.basic_consume(queue=queue, on_message_callback=callback, auto_ack=True)
print("waiting", flush=True)
channel.start_consuming()
connection.close()
