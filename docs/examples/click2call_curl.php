<?php
// The same with the curl extension, for sites that have it.
function click2call(string $number, string $url, string $token): array
{
    $ch = curl_init("$url/api/public/click2call");
    curl_setopt_array($ch, [
        CURLOPT_POST => true,
        CURLOPT_HTTPHEADER => ["Authorization: Bearer $token", 'Content-Type: application/json'],
        CURLOPT_POSTFIELDS => json_encode(['number_to_call' => $number]),
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_TIMEOUT => 10,
    ]);
    $body = curl_exec($ch);
    return json_decode((string) $body, true) ?? ['success' => false, 'error' => 'Connection timeout'];
}

$result = click2call($argv[1] ?? '', getenv('CADRAN_URL') ?: '', getenv('CADRAN_TOKEN') ?: '');
echo json_encode($result, JSON_UNESCAPED_UNICODE), "\n";
exit($result['success'] ? 0 : 1);
