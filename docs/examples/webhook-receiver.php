<?php
// A receiver of Cadran's webhooks, without extensions: checks the signature, drops repetitions, answers fast.
// Put it behind your web server, or try it: CADRAN_WEBHOOK_SECRET=whsec_... php -S 127.0.0.1:8080 webhook-receiver.php
const TOLERANCE_S = 300;

function verified(string $body): bool
{
    $secret = base64_decode(preg_replace('/^whsec_/', '', getenv('CADRAN_WEBHOOK_SECRET') ?: ''));
    $id = $_SERVER['HTTP_WEBHOOK_ID'] ?? '';
    $timestamp = $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '';
    if (!ctype_digit($timestamp) || abs(time() - (int) $timestamp) > TOLERANCE_S) {
        return false;
    }
    $expected = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$timestamp.$body", $secret, true));
    // During a rotation there are two signatures; one of them is enough.
    foreach (explode(' ', $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? '') as $given) {
        if (hash_equals($expected, $given)) {
            return true;
        }
    }
    return false;
}

$body = file_get_contents('php://input'); // as it came: parsed and printed again, it would not match its signature
if (!verified($body)) {
    http_response_code(401);
    exit;
}
$event = json_decode($body, true);
$mark = sys_get_temp_dir() . '/cadran-webhook-' . hash('sha256', $event['id']);
if (@mkdir($mark)) { // made once for each message: a retry of what we have already finds it there
    file_put_contents('php://stderr', $event['type'] . ' ' . ($event['data']['call_id'] ?? '') . "\n"); // your own queue
}
http_response_code(204);
