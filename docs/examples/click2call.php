<?php
// Click-to-call from PHP, without extensions. Run:
// CADRAN_URL=http://127.0.0.1:8098 CADRAN_TOKEN=clicsipx_... php click2call.php 0199000123
function click2call(string $number, string $url, string $token): array
{
    $context = stream_context_create(['http' => [
        'method' => 'POST',
        'header' => "Authorization: Bearer $token\r\nContent-Type: application/json\r\n",
        'content' => json_encode(['number_to_call' => $number]),
        'ignore_errors' => true, // the body of a refusal says why
        'timeout' => 10,
    ]]);
    $body = file_get_contents("$url/api/public/click2call", false, $context);
    if ($body === false) {
        return ['success' => false, 'error' => 'Connection timeout'];
    }
    return json_decode($body, true) ?? ['success' => false, 'error' => 'Connection timeout'];
}

$result = click2call($argv[1] ?? '', getenv('CADRAN_URL') ?: '', getenv('CADRAN_TOKEN') ?: '');
echo json_encode($result, JSON_UNESCAPED_UNICODE), "\n";
exit($result['success'] ? 0 : 1);
