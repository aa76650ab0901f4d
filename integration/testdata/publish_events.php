<?php

// Publishes to an exchange as the third, fourth and fifth RabbitMQ tutorial do: plain text. Unlike
// them it waits for confirms, without which RabbitMQ may drop what a busy queue is slow to take.
//
// usage: publish_events.php URL EXCHANGE TYPE [KEY TEXT]...

require_once 'PhpAmqpLib/autoload.php';

use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Message\AMQPMessage;

[, $url, $exchange, $type] = $argv;
$u = parse_url($url);
$connection = new AMQPStreamConnection(
    $u['host'], $u['port'], urldecode($u['user']), urldecode($u['pass']), urldecode(substr($u['path'], 1)) ?: '/'
);
$channel = $connection->channel();
$channel->confirm_select();
$channel->exchange_declare($exchange, $type, false, true, false);
foreach (array_chunk(array_slice($argv, 4), 2) as [$key, $text]) {
    $channel->basic_publish(new AMQPMessage($text), $exchange, $key);
}
$channel->wait_for_pending_acks();
$channel->close();
$connection->close();
