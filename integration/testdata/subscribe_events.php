<?php

// Subscribes to an exchange as the third, fourth and fifth RabbitMQ tutorial do, and prints what comes.
//
// usage: subscribe_events.php URL EXCHANGE TYPE COUNT KEY...

require_once 'PhpAmqpLib/autoload.php';

use PhpAmqpLib\Connection\AMQPStreamConnection;

[, $url, $exchange, $type, $left] = $argv;
$u = parse_url($url);
$connection = new AMQPStreamConnection(
    $u['host'], $u['port'], urldecode($u['user']), urldecode($u['pass']), urldecode(substr($u['path'], 1)) ?: '/'
);
$channel = $connection->channel();
$channel->exchange_declare($exchange, $type, false, true, false);
[$queue] = $channel->queue_declare('', false, false, true, false);
foreach (array_slice($argv, 5) as $key) {
    $channel->queue_bind($queue, $exchange, $key);
}
$callback = function ($message) use (&$left) {
    echo $message->delivery_info['routing_key'], ' ', $message->get('type'), ' ', $message->get('message_id'), ' ', $message->body, "\n";
    $left--;
};
$channel->basic_consume($queue, '', false, true, false, false, $callback);
echo "waiting\n";
while ($left > 0) {
    $channel->wait();
}
$channel->close();
$connection->close();
