<?php

// Fills task_queue as the second RabbitMQ tutorial does: plain text, and no idea of kinds.
//
// usage: new_task.php URL TASK...

require_once 'PhpAmqpLib/autoload.php';

use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Message\AMQPMessage;

[, $url] = $argv;
$u = parse_url($url);
$connection = new AMQPStreamConnection(
    $u['host'], $u['port'], urldecode($u['user']), urldecode($u['pass']), urldecode(substr($u['path'], 1)) ?: '/'
);
$channel = $connection->channel();
$channel->queue_declare('task_queue', false, true, false, false);
foreach (array_slice($argv, 2) as $task) {
    $message = new AMQPMessage($task, ['delivery_mode' => AMQPMessage::DELIVERY_MODE_PERSISTENT]);
    $channel->basic_publish($message, '', 'task_queue');
}
$channel->close();
$connection->close();
