// Send a lead from your server. Run: CADRAN_URL=... CADRAN_KEY=clicsipx_... node leads.js GROUP LIST_ID 0199000123
// Consent is proof: without it a person is not called by a consumer campaign.
async function createLead(lead, { url, key }) {
  const response = await fetch(`${url}/api/external/leads`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'X-API-Key': key },
    body: JSON.stringify(lead),
  });
  const result = await response.json();
  if (!result.success) throw new Error(`${response.status} ${result.error}`);
  return result.data;
}

const [group, list, phone] = process.argv.slice(2);
createLead({
  user_group: group,
  user_aff: group,
  status: 'NEW',
  first_name: 'Jean',
  last_name: 'Dupont',
  phone_number: phone,
  list_id: Number(list),
  comments: 'Demande de devis',
  consent: { collected_at: new Date().toISOString(), source: 'formulaire web', text_version: 'v3', ip: '192.0.2.1' },
}, { url: process.env.CADRAN_URL, key: process.env.CADRAN_KEY }).then(
  (data) => console.log(JSON.stringify(data)),
  (error) => { console.error(error.message); process.exitCode = 1; },
);
