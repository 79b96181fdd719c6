// Turns phone numbers on any web page into click-to-call links (docs/crm.md). Put it into the CRM's page:
//
//   <script src="click2call-links.js" data-daemon="https://cadran.example" data-extension="1001"></script>
//
// A click asks the daemon to ring the extension, then the number. The token is asked for once and kept in this browser
// (localStorage); use one of kind "click2call", and name the CRM's address in the group's CORS origins.
(function () {
  'use strict';
  // French numbers as people write them, and international ones with + or 00. Digits inside longer runs are no numbers.
  const NUMBER = /(?<![\w+/.-])(?:(?:\+|00)[1-9](?:[ .\-]?\d){7,13}|0[1-9](?:[ .\-]?\d\d){4})(?![\w-]|[.,/]\d)/g;
  const SKIPPED = new Set(['A', 'BUTTON', 'CODE', 'INPUT', 'NOSCRIPT', 'OPTION', 'PRE', 'SCRIPT', 'SELECT', 'STYLE', 'TEXTAREA']);

  // The numbers in a text, each with where it stands and how it is dialled.
  function numbersIn(text) {
    return Array.from(text.matchAll(NUMBER), (found) => ({
      at: found.index,
      text: found[0],
      number: found[0].replace(/[ .\-]/g, '').replace(/^00/, '+').replace(/^0/, '+33'),
    }));
  }

  async function call(number, options) {
    let token = localStorage.getItem('cadran.token');
    if (!token) {
      token = window.prompt('Cadran : jeton click-to-call / click-to-call token');
      if (!token) return null;
    }
    const answer = await fetch(options.daemon + '/api/public/click2call', {
      method: 'POST',
      headers: { Authorization: 'Bearer ' + token, 'Content-Type': 'application/json' },
      body: JSON.stringify({ number_to_call: number, phone_line_used: options.extension }),
    });
    if (answer.status === 401) localStorage.removeItem('cadran.token');
    else localStorage.setItem('cadran.token', token);
    return answer.json();
  }

  // Replaces a text node by text and links. Nothing of the page is read as HTML.
  function link(node, options) {
    const found = numbersIn(node.data);
    if (!found.length) return 0;
    const parts = document.createDocumentFragment();
    let at = 0;
    for (const each of found) {
      parts.append(node.data.slice(at, each.at));
      const a = document.createElement('a');
      a.href = 'tel:' + each.number;
      a.className = 'cadran-call';
      a.textContent = each.text;
      a.addEventListener('click', (event) => {
        event.preventDefault();
        call(each.number, options).then((answer) => {
          a.title = answer && answer.success ? 'Appel lancé' : (answer && answer.error) || '';
        }, () => { a.title = 'Cadran ne répond pas'; });
      });
      parts.append(a);
      at = each.at + each.text.length;
    }
    parts.append(node.data.slice(at));
    node.replaceWith(parts);
    return found.length;
  }

  function scan(root, options) {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT, {
      acceptNode: (node) => (node.parentElement && !SKIPPED.has(node.parentElement.tagName) && !node.parentElement.isContentEditable
        ? NodeFilter.FILTER_ACCEPT : NodeFilter.FILTER_REJECT),
    });
    const nodes = [];
    while (walker.nextNode()) nodes.push(walker.currentNode);
    return nodes.reduce((sum, node) => sum + link(node, options), 0);
  }

  if (typeof module !== 'undefined') { module.exports = { numbersIn }; return; }
  const script = document.currentScript;
  const options = { daemon: script.dataset.daemon.replace(/\/$/, ''), extension: script.dataset.extension };
  const start = () => {
    scan(document.body, options);
    new MutationObserver((changes) => changes.forEach((change) => change.addedNodes.forEach((node) => {
      if (node.nodeType === 1 && !node.classList.contains('cadran-call')) scan(node, options);
    }))).observe(document.body, { childList: true, subtree: true });
  };
  if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', start); else start();
})();
