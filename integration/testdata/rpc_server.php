<?php

// Serves fib as the sixth RabbitMQ tutorial does, one request at a time, until it is killed.
//
// usage: rpc_server.php URL

require_once 'PhpAmqpLib/autoload.php';

use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Message\AMQPMessage;

function fib(int $n): int
{
    [$a, $b] = [0, 1];
    while ($n-- > 0) {
        [$a, $b] = [$b, $a + $b];
    }
    return $a;
}

$u = parse_url($argv[1]);
$connection = new AMQPStreamConnection(
    $u['host'], $u['port'], urldecode($u['user']), urldecode($u['pass']), urldecode(substr($u['path'], 1)) ?: '/'
);
$channel = $connection->channel();
$channel->queue_declare('rpc_queue', false, true, false, false);
$channel->basic_qos(0, 1, false);
$channel->basic_consume('rpc_queue', '', false, false, false, false, function (AMQPMessage $request) {
    $reply = new AMQPMessage((string) fib((int) $request->getBody()), ['correlation_id' => $request->get('correlation_id')]);
    $request->getChannel()->basic_publish($reply, '', $request->get('reply_to'));
    $request->ack();
});
while ($channel->is_consuming()) {
    $channel->wait();
}
