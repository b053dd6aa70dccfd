@testable import SMTPWire

/// Servers of every kind, and what a client must make of them.
enum ClientDialogues {
  static let hello = ("EHLO me.test\r\n", "250 mx.test\r\n")
  static let pipelining = ("EHLO me.test\r\n", "250-mx.test\r\n250-PIPELINING\r\n250 SIZE 1000\r\n")
  static let chunking = ("EHLO me.test\r\n", "250-mx.test\r\n250-pipelining\r\n250 chunking\r\n")
  static let greeting = ("", "220-mx.test\r\n220 welcome\r\n")
  static let mail = ("MAIL FROM:<s@y.test>\r\n", "250 ok\r\n")
  static func rcpt(_ number: Int, _ reply: String = "250 ok") -> (String, String) { ("RCPT TO:<r\(number)@x.test>\r\n", reply + "\r\n") }
  static let group = "MAIL FROM:<s@y.test> SIZE=4\r\nRCPT TO:<r1@x.test>\r\nRCPT TO:<r2@x.test>\r\nDATA\r\n"
  static let reset = ("RSET\r\n", "250 ok\r\n")
  static let lmtp = ClientProfile(kind: .lmtp, heloName: "me.test", tls: .never)
  static let required = ClientProfile(heloName: "me.test", tls: .required)
  static let opportunistic = ClientProfile(heloName: "me.test")
  static let withPassword = ClientProfile(
    heloName: "me.test", tls: .required, credentials: ClientProfile.Credentials(login: "u", password: "p"))

  static let all = plain + grouped + chunked + local + secured + refused + eightBit + notified

  static let plain: [Dialogue] = [
    Dialogue(
      "one by one", recipients: [2],
      script: [greeting, hello, mail, rcpt(1), rcpt(2), ("DATA\r\n", "354 go\r\n"), ("hi\r\n.\r\n", "250 2.0.0 ok\r\n")],
      verdicts: [["+250", "+250"]]),
    Dialogue(
      "two messages", recipients: [1, 1],
      script: [
        greeting, hello, mail, rcpt(1), ("DATA\r\n", "354 go\r\n"), ("hi\r\n.\r\n", "250 ok\r\n"), mail, rcpt(1),
        ("DATA\r\n", "354 go\r\n"),
        ("hi\r\n.\r\n", "451 later\r\n"),
      ], verdicts: [["+250"], ["~451"]]),
    Dialogue(
      "HELO when EHLO is unknown",
      script: [
        greeting, ("EHLO me.test\r\n", "502 5.5.1 what?\r\n"), ("HELO me.test\r\n", "250 mx\r\n"), mail, rcpt(1), ("DATA\r\n", "354\r\n"),
        ("hi\r\n.\r\n", "250\r\n"),
      ], verdicts: [["+250"]]),
    Dialogue(
      "a body without a last line end", body: "hi",
      script: [greeting, hello, mail, rcpt(1), ("DATA\r\n", "354 go\r\n"), ("hi\r\n.\r\n", "250 ok\r\n")], verdicts: [["+250"]]),
    Dialogue(
      "an empty body", body: "", script: [greeting, hello, mail, rcpt(1), ("DATA\r\n", "354 go\r\n"), (".\r\n", "250 ok\r\n")],
      verdicts: [["+250"]]),
    Dialogue(
      "dots", body: ".\r\n..\r\nx.\r\n",
      script: [greeting, hello, mail, rcpt(1), ("DATA\r\n", "354 go\r\n"), ("..\r\n...\r\nx.\r\n.\r\n", "250 ok\r\n")], verdicts: [["+250"]]
    ),
    Dialogue(
      "some recipients refused", recipients: [4],
      script: [
        greeting, hello, mail, rcpt(1, "550 5.1.1 no"), rcpt(2), rcpt(3, "450 later"), rcpt(4, "251 forwarded"), ("DATA\r\n", "354 go\r\n"),
        ("hi\r\n.\r\n", "250 ok\r\n"),
      ], verdicts: [["-550", "+250", "~450", "+250"]]),
    Dialogue(
      "all recipients refused, then another message", recipients: [2, 1],
      script: [
        greeting, hello, mail, rcpt(1, "550 no"), rcpt(2, "452 4.5.3 too many"), reset, mail, rcpt(1), ("DATA\r\n", "354 go\r\n"),
        ("hi\r\n.\r\n", "554 5.6.0 no\r\n"),
      ], verdicts: [["-550", "~452"], ["-554"]]),
    Dialogue(
      "552 for too many recipients is an old 452", script: [greeting, hello, mail, rcpt(1, "552 too many"), reset], verdicts: [["~552"]]),
    Dialogue("552 5.2.2 is what it says", script: [greeting, hello, mail, rcpt(1, "552 5.2.2 full"), reset], verdicts: [["-552"]]),
    Dialogue(
      "MAIL refused", recipients: [2],
      script: [greeting, hello, ("MAIL FROM:<s@y.test>\r\n", "553 5.7.1 no\r\n"), reset], verdicts: [["-553", "-553"]]),
    Dialogue(
      "MAIL put off", script: [greeting, hello, ("MAIL FROM:<s@y.test>\r\n", "451 4.3.0 later\r\n"), reset], verdicts: [["~451"]]),
    Dialogue("DATA refused", script: [greeting, hello, mail, rcpt(1), ("DATA\r\n", "451 later\r\n"), reset], verdicts: [["~451"]]),
    Dialogue(
      "DATA answered with 250", script: [greeting, hello, mail, rcpt(1), ("DATA\r\n", "250 ok\r\n")], verdicts: [["~451"]],
      closure: .violation("reply 250 to DATA")),
    Dialogue(
      "RCPT answered with 354", script: [greeting, hello, mail, rcpt(1, "354 go")], verdicts: [["~451"]],
      closure: .violation("reply 354 to RCPT")),
    Dialogue(
      "MAIL answered with 354", script: [greeting, hello, ("MAIL FROM:<s@y.test>\r\n", "354 go\r\n")], verdicts: [["~451"]],
      closure: .violation("reply 354 to MAIL")),
    Dialogue(
      "no recipients at all", recipients: [0], script: [greeting, hello], verdicts: [[]]),
  ]

  static let grouped: [Dialogue] = [
    Dialogue(
      "in one group", recipients: [2],
      script: [greeting, pipelining, (group, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"), ("hi\r\n.\r\n", "250 ok\r\n")],
      verdicts: [["+250", "+250"]]),
    Dialogue(
      "one of the group refused", recipients: [2],
      script: [
        greeting, pipelining, (group, "250 ok\r\n550-5.1.1 no\r\n550 5.1.1 such user\r\n250 ok\r\n354 go\r\n"),
        ("hi\r\n.\r\n", "250 ok\r\n"),
      ],
      verdicts: [["-550", "+250"]]),
    Dialogue(
      "all of the group refused, and DATA", recipients: [2, 2],
      script: [
        greeting, pipelining, (group, "250 ok\r\n550 no\r\n450 no\r\n554 no recipients\r\n"), reset,
        (group, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"), ("hi\r\n.\r\n", "250 ok\r\n"),
      ], verdicts: [["-550", "~450"], ["+250", "+250"]]),
    Dialogue(
      "all of the group refused, but not DATA", recipients: [2, 2],
      script: [
        greeting, pipelining, (group, "250 ok\r\n550 no\r\n550 no\r\n354 go\r\n"), (".\r\n", "554 no recipients\r\n"),
        (group, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"), ("hi\r\n.\r\n", "250 ok\r\n"),
      ], verdicts: [["-550", "-550"], ["+250", "+250"]]),
    Dialogue(
      "MAIL of the group refused", recipients: [2],
      script: [greeting, pipelining, (group, "550 5.7.1 no\r\n503 no\r\n503 no\r\n503 no\r\n"), reset], verdicts: [["-550", "-550"]]),
    Dialogue(
      "MAIL of the group refused, but not the rest", recipients: [2],
      script: [greeting, pipelining, (group, "450 no\r\n250 ok\r\n250 ok\r\n354 go\r\n"), (".\r\n", "250 ok\r\n")],
      verdicts: [["~450", "~450"]]),
    Dialogue(
      "DATA of the group refused", recipients: [2],
      script: [greeting, pipelining, (group, "250 ok\r\n550 no\r\n250 ok\r\n451 later\r\n"), reset], verdicts: [["-550", "~451"]]),
    Dialogue(
      "421 amid the group", recipients: [2], script: [greeting, pipelining, (group, "250 ok\r\n550 no\r\n421 4.3.2 bye\r\n")],
      verdicts: [["-550", "~421"]], closure: .closedByPeer(Reply(421, "4.3.2", "bye"))),
    Dialogue(
      "more replies than commands", recipients: [2],
      script: [greeting, pipelining, (group, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"), ("hi\r\n.\r\n", "250 ok\r\n250 ok\r\n")],
      verdicts: [["+250", "+250"]], closure: .violation("reply 250 out of turn")),
    Dialogue(
      "354 for the message", recipients: [2],
      script: [greeting, pipelining, (group, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"), ("hi\r\n.\r\n", "354 go\r\n")],
      verdicts: [["?451", "?451"]], closure: .violation("reply 354 out of turn")),
    Dialogue(
      "421 for the message", script: [greeting, hello, mail, rcpt(1), ("DATA\r\n", "354 go\r\n"), ("hi\r\n.\r\n", "421 bye\r\n")],
      verdicts: [["~421"]], closure: .closedByPeer(Reply(421, nil, "bye"))),
    Dialogue(
      "too large for the next hop", body: String(repeating: "x", count: 1001), script: [greeting, pipelining], verdicts: [["-552"]]),
  ]

  static let chunked: [Dialogue] = [
    Dialogue(
      "BDAT", recipients: [2], body: ".\r\nhi",
      script: [
        greeting, chunking, ("MAIL FROM:<s@y.test>\r\nRCPT TO:<r1@x.test>\r\nRCPT TO:<r2@x.test>\r\n", "250 ok\r\n550 no\r\n250 ok\r\n"),
        ("BDAT 5 LAST\r\n.\r\nhi", "250 ok\r\n"),
      ], verdicts: [["-550", "+250"]]),
    Dialogue(
      "BDAT refused, then another message", recipients: [1, 1],
      script: [
        greeting, chunking, ("MAIL FROM:<s@y.test>\r\nRCPT TO:<r1@x.test>\r\n", "250 ok\r\n250 ok\r\n"),
        ("BDAT 4 LAST\r\nhi\r\n", "554 5.6.0 no\r\n"), reset, ("MAIL FROM:<s@y.test>\r\nRCPT TO:<r1@x.test>\r\n", "250 ok\r\n250 ok\r\n"),
        ("BDAT 4 LAST\r\nhi\r\n", "250 ok\r\n"),
      ], verdicts: [["-554"], ["+250"]]),
    Dialogue(
      "nobody to send a BDAT to",
      script: [greeting, chunking, ("MAIL FROM:<s@y.test>\r\nRCPT TO:<r1@x.test>\r\n", "250 ok\r\n450 no\r\n"), reset], verdicts: [["~450"]]
    ),
    Dialogue(
      "RSET refused", recipients: [1],
      script: [
        greeting, chunking, ("MAIL FROM:<s@y.test>\r\nRCPT TO:<r1@x.test>\r\n", "250 ok\r\n450 no\r\n"), ("RSET\r\n", "500 what\r\n"),
      ],
      verdicts: [["~450"]], closure: .refused(Reply(500, nil, "what"))),
  ]

  static let local: [Dialogue] = [
    Dialogue(
      "LMTP, one reply for each", lmtp, recipients: [3],
      script: [
        greeting, ("LHLO me.test\r\n", "250-x\r\n250 PIPELINING\r\n"),
        (
          "MAIL FROM:<s@y.test>\r\nRCPT TO:<r1@x.test>\r\nRCPT TO:<r2@x.test>\r\nRCPT TO:<r3@x.test>\r\nDATA\r\n",
          "250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n"
        ),
        ("hi\r\n.\r\n", "250 2.0.0 stored\r\n452-4.2.2 over\r\n452 4.2.2 quota\r\n"),
      ], verdicts: [["+250", "-550", "~452"]]),
    Dialogue(
      "LMTP by BDAT", lmtp, recipients: [2],
      script: [
        greeting, ("LHLO me.test\r\n", "250-x\r\n250 CHUNKING\r\n"), mail, rcpt(1), rcpt(2),
        ("BDAT 4 LAST\r\nhi\r\n", "250 ok\r\n250 ok\r\n"),
      ], verdicts: [["+250", "+250"]]),
    Dialogue(
      "LMTP breaks off between replies", lmtp, recipients: [2],
      script: [
        greeting, ("LHLO me.test\r\n", "250 x\r\n"), mail, rcpt(1), rcpt(2), ("DATA\r\n", "354 go\r\n"),
        ("hi\r\n.\r\n", "250 ok\r\n421 4.3.0 bye\r\n"),
      ], verdicts: [["+250", "?421"]], closure: .closedByPeer(Reply(421, "4.3.0", "bye"))),
    Dialogue(
      "LMTP knows no HELO", lmtp, script: [greeting, ("LHLO me.test\r\n", "502 what\r\n")], verdicts: [["~502"]],
      closure: .refused(Reply(502, nil, "what"))),
    Dialogue(
      "LMTP with 354 and nobody", lmtp,
      script: [
        greeting, ("LHLO me.test\r\n", "250-x\r\n250 PIPELINING\r\n"),
        ("MAIL FROM:<s@y.test>\r\nRCPT TO:<r1@x.test>\r\nDATA\r\n", "250 ok\r\n550 no\r\n354 go\r\n"),
      ], verdicts: [["-550"]], closure: .violation("reply 354 without recipients")),
    Dialogue(
      "LMTP with a reply too many", lmtp,
      script: [
        greeting, ("LHLO me.test\r\n", "250 x\r\n"), mail, rcpt(1), ("DATA\r\n", "354 go\r\n"), ("hi\r\n.\r\n", "250 ok\r\n250 ok\r\n"),
      ], verdicts: [["+250"]], closure: .violation("reply 250 out of turn")),
  ]

  static let secured: [Dialogue] = [
    Dialogue(
      "STARTTLS, and EHLO anew", required,
      script: [
        greeting, ("EHLO me.test\r\n", "250-x\r\n250-PIPELINING\r\n250 STARTTLS\r\n"), ("STARTTLS\r\n", "220 go\r\n"), hello, mail, rcpt(1),
        ("DATA\r\n", "354 go\r\n"), ("hi\r\n.\r\n", "250 ok\r\n"),
      ], verdicts: [["+250"]]),
    Dialogue(
      "STARTTLS and AUTH", withPassword,
      script: [
        greeting, ("EHLO me.test\r\n", "250-x\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n"), ("STARTTLS\r\n", "220 go\r\n"),
        ("EHLO me.test\r\n", "250-x\r\n250 AUTH LOGIN PLAIN\r\n"), ("AUTH PLAIN AHUAcA==\r\n", "235 2.7.0 ok\r\n"), mail, rcpt(1),
        ("DATA\r\n", "354 go\r\n"), ("hi\r\n.\r\n", "250 ok\r\n"),
      ], verdicts: [["+250"]]),
    Dialogue(
      "AUTH refused", withPassword,
      script: [
        greeting, ("EHLO me.test\r\n", "250-x\r\n250 STARTTLS\r\n"), ("STARTTLS\r\n", "220 go\r\n"),
        ("EHLO me.test\r\n", "250-x\r\n250 AUTH PLAIN\r\n"),
        ("AUTH PLAIN AHUAcA==\r\n", "535 5.7.8 no\r\n"),
      ], verdicts: [["~535"]], closure: .refused(Reply(535, "5.7.8", "no"))),
    Dialogue(
      "AUTH answered with a challenge", withPassword,
      script: [
        greeting, ("EHLO me.test\r\n", "250-x\r\n250 STARTTLS\r\n"), ("STARTTLS\r\n", "220 go\r\n"),
        ("EHLO me.test\r\n", "250-x\r\n250 AUTH PLAIN\r\n"),
        ("AUTH PLAIN AHUAcA==\r\n", "334 \r\n"),
      ], verdicts: [["~451"]], closure: .violation("reply 334 out of turn")),
    Dialogue(
      "AUTH not offered", withPassword,
      script: [greeting, ("EHLO me.test\r\n", "250-x\r\n250 STARTTLS\r\n"), ("STARTTLS\r\n", "220 go\r\n"), hello],
      verdicts: [["~451"]], closure: .authenticationUnavailable),
    Dialogue(
      "no password in the clear",
      ClientProfile(heloName: "me.test", tls: .opportunistic, credentials: ClientProfile.Credentials(login: "u", password: "p")),
      script: [greeting, ("EHLO me.test\r\n", "250-x\r\n250 AUTH PLAIN\r\n")], verdicts: [["~451"]], closure: .authenticationUnavailable),
    Dialogue("TLS required and not offered", required, script: [greeting, hello], verdicts: [["~451"]], closure: .tlsUnavailable),
    Dialogue(
      "TLS required and refused", required,
      script: [greeting, ("EHLO me.test\r\n", "250-x\r\n250 STARTTLS\r\n"), ("STARTTLS\r\n", "454 4.7.0 not now\r\n")],
      verdicts: [["~451"]],
      closure: .tlsUnavailable),
    Dialogue(
      "TLS required and EHLO unknown", required,
      script: [greeting, ("EHLO me.test\r\n", "500 what\r\n"), ("HELO me.test\r\n", "250 x\r\n")], verdicts: [["~451"]],
      closure: .tlsUnavailable),
    Dialogue(
      "TLS at choice and refused", opportunistic,
      script: [
        greeting, ("EHLO me.test\r\n", "250-x\r\n250 STARTTLS\r\n"), ("STARTTLS\r\n", "454 4.7.0 not now\r\n"), mail, rcpt(1),
        ("DATA\r\n", "354 go\r\n"), ("hi\r\n.\r\n", "250 ok\r\n"),
      ], verdicts: [["+250"]]),
    Dialogue(
      "TLS from the first octet", ClientProfile(heloName: "me.test", tls: .required, startsSecure: true),
      script: [
        greeting, ("EHLO me.test\r\n", "250-x\r\n250 STARTTLS\r\n"), mail, rcpt(1), ("DATA\r\n", "354 go\r\n"),
        ("hi\r\n.\r\n", "250 ok\r\n"),
      ], verdicts: [["+250"]]),
  ]

  static let refused: [Dialogue] = [
    Dialogue(
      "greeted by 554", script: [("", "554 5.7.1 go away\r\n")], verdicts: [["~554"]], closure: .refused(Reply(554, "5.7.1", "go away"))),
    Dialogue("greeted by 421", script: [("", "421 busy\r\n")], verdicts: [["~421"]], closure: .closedByPeer(Reply(421, nil, "busy"))),
    Dialogue(
      "EHLO put off", script: [greeting, ("EHLO me.test\r\n", "450 later\r\n")], verdicts: [["~450"]],
      closure: .refused(Reply(450, nil, "later"))),
    Dialogue(
      "HELO refused too", script: [greeting, ("EHLO me.test\r\n", "550 no\r\n"), ("HELO me.test\r\n", "550 no\r\n")], verdicts: [["~550"]],
      closure: .refused(Reply(550, nil, "no"))),
    Dialogue(
      "EHLO answered with 354", script: [greeting, ("EHLO me.test\r\n", "354 go\r\n")], verdicts: [["~451"]],
      closure: .violation("reply 354 out of turn")),
  ]

  static let bodyInLatin = [("DATA\r\n", "354 go\r\n"), ("è\r\n.\r\n", "250 ok\r\n")]

  static let eightBit: [Dialogue] = [
    Dialogue(
      "eight bit where it is taken", body: "è\r\n", eightBit: true,
      script: [
        greeting, ("EHLO me.test\r\n", "250-mx.test\r\n250 8BITMIME\r\n"), ("MAIL FROM:<s@y.test> BODY=8BITMIME\r\n", "250 ok\r\n"),
        rcpt(1),
      ] + bodyInLatin, verdicts: [["+250"]]),
    Dialogue(
      "eight bit where nobody speaks of it", body: "è\r\n", eightBit: true, script: [greeting, hello, mail, rcpt(1)] + bodyInLatin,
      verdicts: [["+250"]]),
    Dialogue(
      "eight bit where it is refused", body: "è\r\n", eightBit: true,
      script: [greeting, hello, mail, rcpt(1), bodyInLatin[0], ("è\r\n.\r\n", "554 5.6.3 no\r\n")], verdicts: [["-554"]]),
    Dialogue(
      "eight bit by LMTP", lmtp, body: "è\r\n", eightBit: true,
      script: [
        greeting, ("LHLO me.test\r\n", "250-x\r\n250 8BITMIME\r\n"), ("MAIL FROM:<s@y.test> BODY=8BITMIME\r\n", "250 ok\r\n"),
        rcpt(1),
      ] + bodyInLatin, verdicts: [["+250"]]),
    Dialogue(
      "eight bit by LMTP that does not speak of it", lmtp, body: "è\r\n", eightBit: true,
      script: [greeting, ("LHLO me.test\r\n", "250 x\r\n"), mail, rcpt(1)] + bodyInLatin, verdicts: [["+250"]]),
    Dialogue(
      "seven bit where eight are taken",
      script: [
        greeting, ("EHLO me.test\r\n", "250-mx.test\r\n250 8BITMIME\r\n"), mail, rcpt(1), ("DATA\r\n", "354 go\r\n"),
        ("hi\r\n.\r\n", "250 ok\r\n"),
      ], verdicts: [["+250"]]),
  ]

  static let reporting = ("EHLO me.test\r\n", "250-mx.test\r\n250 DSN\r\n")
  static let notify = DeliveryNotification(envelopeID: "opec1+2=x y")
  static let notifyingMail = ("MAIL FROM:<s@y.test> RET=HDRS ENVID=opec1+2B2+3Dx+20y\r\n", "250 ok\r\n")
  static func notifyingRcpt(_ number: Int, _ reply: String = "250 ok") -> (String, String) {
    ("RCPT TO:<r\(number)@x.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;r\(number)@x.test\r\n", reply + "\r\n")
  }
  static let oneBody = [("DATA\r\n", "354 go\r\n"), ("hi\r\n.\r\n", "250 ok\r\n")]

  static let notified: [Dialogue] = [
    Dialogue(
      "reports asked for", recipients: [2], notification: notify,
      script: [greeting, reporting, notifyingMail, notifyingRcpt(1), notifyingRcpt(2)] + oneBody, verdicts: [["+250", "+250"]]),
    Dialogue(
      "reports asked for, a recipient refused", recipients: [2], notification: notify,
      script: [greeting, reporting, notifyingMail, notifyingRcpt(1, "550 5.1.1 no"), notifyingRcpt(2)] + oneBody,
      verdicts: [["-550", "+250"]]),
    Dialogue(
      "reports, size and eight bit in one group", body: "è\r\n", eightBit: true, notification: notify,
      script: [
        greeting, ("EHLO me.test\r\n", "250-mx.test\r\n250-PIPELINING\r\n250-SIZE\r\n250-8bitmime\r\n250 dsn\r\n"),
        (
          "MAIL FROM:<s@y.test> SIZE=4 BODY=8BITMIME RET=HDRS ENVID=opec1+2B2+3Dx+20y\r\n"
            + "RCPT TO:<r1@x.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;r1@x.test\r\nDATA\r\n", "250 ok\r\n250 ok\r\n354 go\r\n"
        ), ("è\r\n.\r\n", "250 ok\r\n"),
      ], verdicts: [["+250"]]),
    Dialogue(
      "reports asked for by LMTP", lmtp, notification: notify,
      script: [greeting, ("LHLO me.test\r\n", "250-x\r\n250 DSN\r\n"), notifyingMail, notifyingRcpt(1)] + oneBody, verdicts: [["+250"]]),
    Dialogue(
      "no reports to be had", recipients: [2], notification: notify, script: [greeting, hello], verdicts: [["~451", "~451"]]),
    Dialogue(
      "no reports to be had from one who knows no EHLO", notification: notify,
      script: [greeting, ("EHLO me.test\r\n", "502 what\r\n"), ("HELO me.test\r\n", "250 x\r\n")], verdicts: [["~451"]]),
    Dialogue(
      "reports offered in the clear only", opportunistic, notification: notify,
      script: [
        greeting, ("EHLO me.test\r\n", "250-x\r\n250-DSN\r\n250 STARTTLS\r\n"), ("STARTTLS\r\n", "220 go\r\n"), hello,
      ], verdicts: [["~451"]]),
    Dialogue("reports offered and not asked for", script: [greeting, reporting, mail, rcpt(1)] + oneBody, verdicts: [["+250"]]),
    Dialogue(
      "reports under no name", notification: DeliveryNotification(envelopeID: ""), script: [greeting, reporting], verdicts: [["-554"]]),
    Dialogue(
      "reports under a name that breaks the line", notification: DeliveryNotification(envelopeID: "x\r\nRCPT TO:<a@b.test>"),
      script: [greeting, reporting], verdicts: [["-554"]]),
    Dialogue(
      "reports under a name of 100 octets", notification: DeliveryNotification(envelopeID: String(repeating: "x", count: 100)),
      script: [
        greeting, reporting, ("MAIL FROM:<s@y.test> RET=HDRS ENVID=" + String(repeating: "x", count: 100) + "\r\n", "250 ok\r\n"),
        notifyingRcpt(1),
      ] + oneBody, verdicts: [["+250"]]),
    Dialogue(
      "reports under a name of 101 octets", notification: DeliveryNotification(envelopeID: String(repeating: "x", count: 98) + "="),
      script: [greeting, reporting], verdicts: [["-554"]]),
  ]
}
