// Verifies one delivery with the sender's own library, and prints whether it is genuine:
// node verify.js SENDER < {"url", "headers", "body", "secret"}. The names of the headers are in lower case.
import { readFileSync } from "node:fs";

const [sender] = process.argv.slice(2);
const { url, headers, body, secret } = JSON.parse(readFileSync(0, "utf8"));

const verifiers = {
  async box() {
    const { WebhooksManager } = await import("box-node-sdk/managers/webhooks");
    return WebhooksManager.validateMessage(body, headers, secret, { secondaryKey: "another key" });
  },
  async clerk() {
    const { verifyWebhook } = await import("@clerk/backend/webhooks");
    await verifyWebhook(new Request(url, { method: "POST", headers, body }), { signingSecret: secret });
    return true;
  },
  async gocardless() {
    const { parse } = await import("gocardless-nodejs/webhooks");
    parse(body, secret, headers["webhook-signature"]);
    return true;
  },
  async line() {
    const { validateSignature } = await import("@line/bot-sdk");
    return validateSignature(body, secret, headers["x-line-signature"]);
  },
  async mux() {
    const { default: Mux } = await import("@mux/mux-node");
    await new Mux({ tokenId: "id", tokenSecret: "secret" }).webhooks.verifySignature(body, headers, secret);
    return true;
  },
  async notion() {
    const { verifyWebhookSignature } = await import("@notionhq/client");
    return verifyWebhookSignature({ body, signature: headers["x-notion-signature"], verificationToken: secret });
  },
  async razorpay() {
    const { default: Razorpay } = await import("razorpay");
    return Razorpay.validateWebhookSignature(body, headers["x-razorpay-signature"], secret);
  },
  async resend() {
    const { Resend } = await import("resend");
    new Resend("re_unused").webhooks.verify({
      payload: body,
      headers: { id: headers["svix-id"], timestamp: headers["svix-timestamp"], signature: headers["svix-signature"] },
      webhookSecret: secret,
    });
    return true;
  },
  async telegram() {
    const { Bot, webhookCallback } = await import("grammy");
    const bot = new Bot("1:unused", { botInfo: { id: 1, is_bot: true, first_name: "a", username: "a_bot" } });
    let genuine = true;
    const receive = webhookCallback(bot, "callback", { secretToken: secret });
    await receive(JSON.parse(body), () => {}, headers["x-telegram-bot-api-secret-token"], () => (genuine = false));
    return genuine;
  },
};

let genuine = false;
let reason = "";
try {
  genuine = (await verifiers[sender]()) === true;
} catch (error) {
  reason = String(error);
}
console.log(JSON.stringify({ genuine, reason }));
