// One EventSource a browser (HTTP/1.1 allows six connections a host): holds it, parses, merges, tells every tab.
import { Feed } from './lib/feed.js';

const ports = new Set();
const say = (message) => { for (const port of ports) port.postMessage(message); };
const feed = new Feed(say);

onconnect = (event) => {
  const port = event.ports[0];
  ports.add(port);
  port.onmessage = ({ data }) => {
    if (data.open) {
      ports.add(port);
      // Another person: the state so far is not theirs.
      if (feed.who && feed.who !== data.open) feed.close();
      feed.who = data.open;
      feed.open();
      if (feed.state.ready) port.postMessage({ kind: 'snapshot', state: feed.state, beat: feed.beat, beatAge: Date.now() - feed.beatAt });
    }
    if (data === 'close') { ports.delete(port); if (!ports.size) feed.close(); }
  };
  port.start();
};
