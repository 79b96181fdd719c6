// Salesforce: the Lightning web component beside CadranCall.cls. Put it on a record page; it calls the record's phone.
import { LightningElement, api, wire } from 'lwc';
import { getRecord, getFieldValue } from 'lightning/uiRecordApi';
import { ShowToastEvent } from 'lightning/platformShowToastEvent';
import call from '@salesforce/apex/CadranCall.call';
import PHONE from '@salesforce/schema/Lead.Phone';

export default class CadranCall extends LightningElement {
  @api recordId;
  @wire(getRecord, { recordId: '$recordId', fields: [PHONE] }) record;

  async dial() {
    const phone = getFieldValue(this.record.data, PHONE);
    try {
      const id = await call({ phone, recordId: this.recordId });
      this.dispatchEvent(new ShowToastEvent({ title: `Appel ${id}`, message: phone, variant: 'success' }));
    } catch (error) {
      this.dispatchEvent(new ShowToastEvent({ title: 'Cadran', message: error.body.message, variant: 'error' }));
    }
  }
}
