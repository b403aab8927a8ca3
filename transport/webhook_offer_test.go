package transport_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/transport"
)

// offered is what a Webhook has offered, and whether that is taken.
type offered struct {
	taken    bool
	messages []transport.Message
}

func (o *offered) take(m *transport.Message) bool {
	o.messages = append(o.messages, *m)
	return o.taken
}

// openOffering opens w, which offers what comes in.
func openOffering(t *testing.T, w *transport.Webhook, taken bool) (transport.Conn, *offered) {
	t.Helper()
	conn := openHook(t, w)
	o := &offered{taken: taken}
	conn.(interface {
		Offer(func(*transport.Message) bool)
	}).Offer(o.take)
	return conn, o
}

// TestWebhookOffers answers what is taken when its mode says so, without a Read.
func TestWebhookOffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		_, o := openOffering(t, w, true)
		a := post(w, sign(t, w.Provider, "msg_1", `{"type":"ping"}`))
		unanswered(t, a)
		again := post(w, sign(t, w.Provider, "msg_1", `{"type":"ping"}`))
		unanswered(t, again)
		if len(o.messages) != 1 || o.messages[0].ID != "msg_1" || o.messages[0].Type != "ping" {
			t.Fatalf("offered %v, want the event once", o.messages)
		}
		o.messages[0].Settle(nil)
		wantStatus(t, a, 204)
		wantStatus(t, again, 204)
	})
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		w.Ack = transport.AckQueued
		_, o := openOffering(t, w, true)
		for range 2 { // the second time it is known
			wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{}`)), 204)
		}
		if len(o.messages) != 1 {
			t.Errorf("offered %d times", len(o.messages))
		}
	})
}

// TestWebhookReadsWhatIsNotTaken gives Read what the offer was refused for, as it was, and
// offers nothing before that.
func TestWebhookReadsWhatIsNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		w.Buffer = 2
		conn, o := openOffering(t, w, false)
		a := post(w, sign(t, w.Provider, "msg_1", `{"type":"ping"}`))
		unanswered(t, a)
		b := post(w, sign(t, w.Provider, "msg_2", `{}`))
		unanswered(t, b)
		wantStatus(t, post(w, sign(t, w.Provider, "msg_3", `{}`)), 503)
		m := take(t, conn, `{"type":"ping"}`)
		if m.ID != "msg_1" || m.Type != "ping" || m.Header.Get("Webhook-Id") != "msg_1" || len(o.messages) != 1 {
			t.Errorf("Read brings %+v after %d offers, want one", m, len(o.messages))
		}
		m.Settle(nil)
		wantStatus(t, a, 204)
		take(t, conn, `{}`).Settle(nil)
		wantStatus(t, b, 204)
	})
}

// TestWebhookOffersNoBatch leaves what may not fit as a whole to Read.
func TestWebhookOffersNoBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		w.Provider.Payload.Items = "@this"
		conn, o := openOffering(t, w, true)
		a := post(w, sign(t, w.Provider, "msg_1", `[1,2]`))
		take(t, conn, "1").Settle(nil)
		take(t, conn, "2").Settle(nil)
		wantStatus(t, a, 204)
		if len(o.messages) > 0 {
			t.Error("a batch was offered")
		}
	})
}

// TestWebhookEndsBehindAnOffer closes the Conn while a delivery is offered. What the
// consumer has not got is refused at once.
func TestWebhookEndsBehindAnOffer(t *testing.T) {
	for _, ack := range []transport.AckMode{transport.AckHandled, transport.AckQueued} {
		for _, taken := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				w := newHook()
				w.Ack = ack
				conn := openHook(t, w)
				conn.(interface {
					Offer(func(*transport.Message) bool)
				}).Offer(func(*transport.Message) bool {
					go conn.Close()
					synctest.Wait()
					return taken
				})
				begun := time.Now()
				wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{}`)), 503)
				if inHand := ack == transport.AckHandled && taken; !inHand && time.Since(begun) > 0 {
					t.Errorf("refused after %v", time.Since(begun))
				}
			})
		}
	}
}
