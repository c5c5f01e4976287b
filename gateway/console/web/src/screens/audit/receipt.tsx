// Verifying any receipt: the text of a DataOS-Receipt header, pasted or from a link. It stands in the
// fragment of the URL, which a browser does not send.
import { useState, type FormEvent } from "react";
import { getBytes } from "../../api/client.ts";
import { Page } from "../../parts/page.tsx";
import { decodeReceipt, verifyReceipt } from "../../proof/receipt.ts";
import { go, Link, usePlace } from "../../router.tsx";
import { Verification } from "./verification.tsx";

export default function ReceiptScreen() {
  const receipt = usePlace().hash.get("receipt") ?? "";
  return (
    <Page title="Verify a receipt">
      <p>
        Every governed answer carries the header <code>DataOS-Receipt</code>. It shows that the answer's record is in the audit
        log, with the log's public key alone.
      </p>
      <Form key={receipt} receipt={receipt} />
      {receipt !== "" && (
        <Verification
          id={receipt}
          what="the receipt stands for"
          verify={(key) => verifyReceipt(receipt, key)}
          fetchTile={async (tile) => new Uint8Array(await getBytes(`/log/${tile}`))}
        />
      )}
      {receipt !== "" && <ToEntry receipt={receipt} />}
    </Page>
  );
}

function Form({ receipt }: { receipt: string }) {
  const [text, setText] = useState(receipt);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    go(`/receipt#receipt=${encodeURIComponent(text.replace(/\s/g, ""))}`);
  };
  return (
    <form className="receipt-form" onSubmit={submit}>
      <label htmlFor="receipt">Receipt</label>
      <textarea
        id="receipt"
        rows={4}
        spellCheck={false}
        required
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
      />
      <button type="submit" className="primary">
        Verify
      </button>
    </form>
  );
}

function ToEntry({ receipt }: { receipt: string }) {
  try {
    const { index } = decodeReceipt(receipt);
    return (
      <p>
        <Link to={`/audit/${index}`}>See entry {String(index)} whole</Link>, if you may read the log.
      </p>
    );
  } catch {
    return null;
  }
}
