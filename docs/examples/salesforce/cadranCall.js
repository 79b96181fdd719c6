// Salesforce: the Lightning web component beside CadranCall.cls. Put it on a record page; it calls the record's phone.
import { LightningElement, api, wire } from 'lwc';
import { getRecord, getFieldValue } from 'lightning/uiRecordApi';
import { ShowToastEvent } from 'lightning/platformShowToastEvent';
import call from '@salesforce/apex/CadranCall.call';
import PHONE from '@salesforce/schema/Lead.Phone';

export default class CadranCall extends LightningElement {
  @api recordId;
  @wire(getRecord, { recordId: '$recordId', fields: [PHONE] }) record;
  busy = false;

  get phone() {
    return getFieldValue(this.record.data, PHONE);
  }

  get blocked() {
    return this.busy || !this.phone;
  }

  async dial() {
    if (this.blocked) return; // a second click while the first is on its way would be a second call
    this.busy = true;
    try {
      const id = await call({ phone: this.phone });
      this.dispatchEvent(new ShowToastEvent({ title: `Appel ${id}`, message: this.phone, variant: 'success' }));
    } catch (error) {
      this.dispatchEvent(new ShowToastEvent({ title: 'Cadran', message: error.body.message, variant: 'error' }));
    } finally {
      this.busy = false;
    }
  }
}
