"""Publishes to an exchange as the third, fourth and fifth RabbitMQ tutorial do: plain text.
Unlike them it waits for confirms, without which RabbitMQ may drop what a busy queue is slow to take.

usage: publish_events.py URL EXCHANGE TYPE [KEY TEXT]...
"""

import sys

import pika

url, exchange, kind, *pairs = sys.argv[1:]
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.confirm_delivery()
channel.exchange_declare(exchange=exchange, exchange_type=kind, durable=True)
for key, text in zip(pairs[::2], pairs[1::2]):
    channel.basic_publish(exchange=exchange, routing_key=key, body=text)
connection.close()
