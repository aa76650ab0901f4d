<?php

// Calls fib as the sixth RabbitMQ tutorial does, and prints a line for each reply.
//
// usage: rpc_client.php URL REPLY_TO BODY...
//
// REPLY_TO is amq.rabbitmq.reply-to, or empty for an exclusive queue that the server names.

require_once 'PhpAmqpLib/autoload.php';

use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Message\AMQPMessage;

[, $url, $replyTo] = $argv;
$bodies = array_slice($argv, 3);
$u = parse_url($url);
$connection = new AMQPStreamConnection(
    $u['host'], $u['port'], urldecode($u['user']), urldecode($u['pass']), urldecode(substr($u['path'], 1)) ?: '/'
);
$channel = $connection->channel();
if ($replyTo === '') {
    [$replyTo] = $channel->queue_declare('', false, false, true, true);
}

$replies = []; // by correlation ID
$onReply = function (AMQPMessage $reply) use (&$replies) {
    $id = $reply->get('correlation_id');
    if (isset($replies[$id]) || !str_starts_with($id, 'call ')) {
        fwrite(STDERR, "unexpected reply: $id {$reply->getBody()}\n");
        exit(1);
    }
    $replies[$id] = $reply->getBody();
};
$channel->basic_consume($replyTo, '', false, true, false, false, $onReply);
foreach ($bodies as $i => $body) {
    $message = new AMQPMessage($body, ['reply_to' => $replyTo, 'correlation_id' => "call $i"]);
    $channel->basic_publish($message, '', 'rpc_queue');
}
while (count($replies) < count($bodies)) {
    $channel->wait();
}
foreach (array_keys($bodies) as $i) {
    echo $replies["call $i"], "\n";
}
$channel->close();
$connection->close();
