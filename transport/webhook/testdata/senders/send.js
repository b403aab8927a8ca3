// Sends one delivery that the sender's own library has signed, and prints what the
// receiver answered: node send.js SENDER URL SECRET ID < body
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";

const [sender, url, secret, id] = process.argv.slice(2);
let body = readFileSync(0, "utf8");
let contentType = "application/json";

const senders = {
  // The body is the item that is signed.
  async adyen() {
    const { default: adyen } = await import("@adyen/api-library");
    const item = JSON.parse(body);
    item.additionalData = { hmacSignature: new adyen.hmacValidator().calculateHmac(item, secret) };
    body = JSON.stringify({ live: "false", notificationItems: [{ NotificationRequestItem: item }] });
    return {};
  },
  async github() {
    const { Webhooks } = await import("@octokit/webhooks");
    return {
      "x-github-event": "push",
      "x-github-delivery": id || randomUUID(),
      "x-hub-signature-256": await new Webhooks({ secret }).sign(body),
    };
  },
  async notion() {
    const { signWebhookPayload } = await import("@notionhq/client");
    return { "x-notion-signature": await signWebhookPayload({ body, verificationToken: secret }) };
  },
  // With a SharedKey and HMAC-SHA256 if there is an id.
  async twilio() {
    const { default: twilio } = await import("twilio");
    contentType = "application/x-www-form-urlencoded";
    const form = Object.fromEntries(new URLSearchParams(body));
    const algorithm = id ? twilio.HMAC_SHA256 : twilio.HMAC_SHA1;
    return {
      "i-twilio-idempotency-token": id || "t1",
      "x-twilio-signature": twilio.getExpectedTwilioSignature(secret, url, form, algorithm),
    };
  },
  async stripe() {
    const { default: Stripe } = await import("stripe");
    return { "stripe-signature": Stripe.webhooks.generateTestHeaderString({ payload: body, secret }) };
  },
  async svix() {
    const { Webhook } = await import("svix");
    const now = new Date();
    return {
      "svix-id": id,
      "svix-timestamp": String(Math.floor(now / 1000)),
      "svix-signature": new Webhook(secret).sign(id, now, body),
    };
  },
};

const proof = await senders[sender]();
const headers = { "content-type": contentType, ...proof };
const answer = await fetch(url, { method: "POST", headers, body });
await answer.arrayBuffer();
console.log(JSON.stringify({ status: answer.status, retryAfter: answer.headers.get("retry-after") }));
