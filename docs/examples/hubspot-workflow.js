// HubSpot: a "custom code" action of a workflow. Secrets: CADRAN_URL, CADRAN_TOKEN; input field: phone.
// HubSpot retries an action that fails; the key keeps a retry from calling the person twice.
exports.main = async (event, callback) => {
  const response = await fetch(`${process.env.CADRAN_URL}/api/public/click2call`, {
    method: 'POST',
    headers: {
      Authorization: `Bearer ${process.env.CADRAN_TOKEN}`,
      'Content-Type': 'application/json',
      'Idempotency-Key': `hubspot-${event.callbackId}`,
    },
    body: JSON.stringify({ number_to_call: event.inputFields.phone }),
  });
  const result = await response.json();
  callback({ outputFields: { success: result.success, call_id: result.call_id ?? null, error: result.error ?? null } });
};
