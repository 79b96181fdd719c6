// Click-to-call from JavaScript: the agent's phone rings first, then the number is dialled.
// Run: CADRAN_URL=http://127.0.0.1:8098 CADRAN_TOKEN=clicsipx_... node click2call.js 0199000123
// In a web page keep the token on your own server: whoever reads the page can read a token in it.
async function callNumber(phone, { url, token, line, key } = {}) {
  const response = await fetch(`${url}/api/public/click2call`, {
    method: 'POST',
    headers: {
      Authorization: `Bearer ${token}`,
      'Content-Type': 'application/json',
      ...(key ? { 'Idempotency-Key': key } : {}), // the same key never calls twice
    },
    body: JSON.stringify({ number_to_call: phone, ...(line ? { phone_line_used: line } : {}) }),
  });
  const result = await response.json();
  if (!result.success) throw new Error(`${response.status} ${result.error}`);
  return result;
}

const [number, line] = process.argv.slice(2);
callNumber(number, { url: process.env.CADRAN_URL, token: process.env.CADRAN_TOKEN, line }).then(
  (result) => console.log(JSON.stringify(result)),
  (error) => { console.error(error.message); process.exitCode = 1; },
);
