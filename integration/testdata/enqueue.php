<?php

// Enqueues jobs as any PHP program can, with php-amqplib: a type and a JSON body.
//
// usage: enqueue.php URL QUEUE

require_once 'PhpAmqpLib/autoload.php';

use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Message\AMQPMessage;
use PhpAmqpLib\Wire\AMQPTable;

[, $url, $queue] = $argv;
$u = parse_url($url);
$connection = new AMQPStreamConnection(
    $u['host'], $u['port'], urldecode($u['user']), urldecode($u['pass']), urldecode(substr($u['path'], 1)) ?: '/'
);
$channel = $connection->channel();
$channel->confirm_select();
$channel->set_nack_handler(function () { fwrite(STDERR, "refused\n"); exit(1); });
$channel->set_return_listener(function () { fwrite(STDERR, "unroutable\n"); exit(1); });

$enqueue = function (int $number, array $properties = [], array $headers = []) use ($channel, $queue) {
    $properties += ['type' => 'foreign', 'delivery_mode' => AMQPMessage::DELIVERY_MODE_PERSISTENT];
    $message = new AMQPMessage(json_encode(['N' => $number, 'note' => 'über']), $properties);
    if ($headers) {
        $message->set('application_headers', new AMQPTable($headers));
    }
    $channel->basic_publish($message, 'errand.jobs', $queue, true);
};

$enqueue(1);
$enqueue(2, ['content_type' => 'application/json', 'message_id' => 'from-php', 'app_id' => 'php-amqplib']);
$enqueue(3, [], ['errand-attempt' => 2, 'tenant' => 'acme', 'list' => [1, 'two', null], 'pi' => 3.14]);
$enqueue(4, [], ['errand-not-before' => (int) (microtime(true) * 1000) + 300]);
$enqueue(5, [], ['errand-attempt' => 'nonsense']);
$channel->wait_for_pending_acks_returns(30);
$connection->close();
