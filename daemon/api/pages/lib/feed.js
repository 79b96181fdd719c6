// The event stream as messages: {kind: snapshot|delta|beat|bye|lost}. Runs in the shared worker, or in the page.
const SILENT_MS = 8000; // four beats
const SILENT_MOST_MS = 60000;
const LATE_MS = 5000; // what is older is not live
const TABLES = ['system', 'links', 'campaigns', 'agents', 'calls', 'lines', 'imports'];
export const empty = () => ({ ready: false, seq: 0, ...Object.fromEntries(TABLES.map((name) => [name, {}])) });

// Changed fields by id; null is gone. Returns new row objects, so that views can compare by identity.
export function merge(state, delta) {
  for (const name of TABLES) {
    const rows = delta[name];
    if (!rows) continue;
    for (const [id, change] of Object.entries(rows)) {
      if (change === null) delete state[name][id];
      else state[name][id] = { ...state[name][id], ...change };
    }
  }
  state.seq = delta.seq;
}

export class Feed {
  constructor(say) { this.say = say; this.source = null; this.state = empty(); this.beat = null; this.beatAt = 0; this.patience = SILENT_MS; }

  open() { if (!this.source) this.connect(); }

  restart() { this.close(); this.connect(); }

  close() { clearTimeout(this.timer); clearInterval(this.watch); if (this.source) this.source.close(); this.source = null; this.state = empty(); this.beat = null; }

  // Open in name alone (the computer slept, a proxy holds back what it gets): made anew, each time after a longer wait.
  look() {
    if (!this.source || Date.now() - this.heardAt < this.patience) return;
    this.restart();
    this.patience = Math.min(SILENT_MOST_MS, this.patience * (1.5 + Math.random() / 2)); // not all pages at once
  }

  connect() {
    const source = new EventSource('/api/v1/stream');
    this.source = source;
    this.heardAt = Date.now();
    this.lead = -Infinity;
    clearInterval(this.watch);
    this.watch = setInterval(() => this.look(), 1000);
    source.addEventListener('snapshot', (e) => {
      const data = JSON.parse(e.data);
      this.state = { ...empty(), ...data, ready: true };
      this.wait = 0;
      this.say({ kind: 'snapshot', state: this.state });
    });
    source.addEventListener('delta', (e) => {
      const delta = JSON.parse(e.data);
      if (!this.state.ready || delta.seq !== this.state.seq + 1) { this.restart(); return; } // a gap: begin anew
      merge(this.state, delta);
      this.say({ kind: 'delta', delta });
    });
    source.addEventListener('beat', (e) => {
      this.beat = JSON.parse(e.data);
      // How far its clock is ahead of ours, at the best: a beat that is behind that was held up on its way, and is as old.
      const lead = Date.parse(this.beat.now) - Date.now();
      this.lead = Math.max(this.lead, lead);
      const late = this.lead - lead;
      this.beatAt = Date.now() - late;
      if (late < LATE_MS) this.heardAt = this.beatAt; // all of them late: one of the clocks was set, or the way is slow
      if (late < SILENT_MS) this.patience = SILENT_MS;
      this.say({ kind: 'beat', beat: this.beat, late });
    });
    source.addEventListener('phone', (e) => this.say({ kind: 'phone', told: JSON.parse(e.data) })); // of this moment only
    source.addEventListener('bye', (e) => {
      const { reason } = JSON.parse(e.data);
      this.say({ kind: 'bye', reason });
      if (reason !== 'restart') this.close();
    });
    source.onerror = () => {
      this.heardAt = Date.now(); // the browser tries again by itself
      this.say({ kind: 'lost' });
      if (source.readyState === EventSource.CLOSED && this.source === source) {
        this.source = null; // refused (401, 503): try again ourselves, more and more slowly; the page asks why
        this.say({ kind: 'refused' });
        this.wait = Math.min(30000, (this.wait || 1000) * 2);
        this.timer = setTimeout(() => this.open(), this.wait + Math.random() * 1000);
      }
    };
  }
}
