import Testing

@testable import MailboxSearch

@Suite struct MailboxQuestionTests {
  @Test func theSearch() {
    let marks = [MailboxQuestion.Mark(field: "Received", text: "id r1;"), MailboxQuestion.Mark(field: "Content-Type", text: #"a"b\c"#)]
    #expect(
      MailboxQuestion(holder: "a@x.test", marks: marks, since: 1_795_323_141).search
        == #"UID SEARCH SINCE 20-Nov-2026 HEADER "Received" "id r1;" HEADER "Content-Type" "a\"b\\c""#)
  }

  /// A mark that cannot be said is not left out: the others might be another message's too.
  @Test(arguments: ["", "a\r\nX LOGOUT", "caffè", String(repeating: "x", count: 501), "\u{0}"])
  func whatCannotBeSaidIsNotAsked(text: String) {
    let good = MailboxQuestion.Mark(field: "Received", text: "id r1;")
    #expect(MailboxQuestion(holder: "a@x.test", marks: [good, MailboxQuestion.Mark(field: "Subject", text: text)], since: 0).search == nil)
    #expect(MailboxQuestion(holder: "a@x.test", marks: [], since: 0).search == nil)
  }

  @Test(
    arguments: [
      (0, "1-Jan-1970"), (951_782_400, "29-Feb-2000"), (951_868_799, "29-Feb-2000"), (951_868_800, "1-Mar-2000"),
      (1_735_603_200, "31-Dec-2024"), (1_735_689_600, "1-Jan-2025"), (1_709_164_800, "29-Feb-2024"), (4_107_542_400, "1-Mar-2100"),
    ] as [(Int64, String)])
  func days(seconds: Int64, day: String) { #expect(MailboxQuestion.day(seconds) == day) }

  @Test func detailsOfAddresses() {
    #expect(MailboxSearch.withoutDetail("anna+x+y@a.test") == "anna@a.test")
    for plain in ["anna@a.test", "anna@a+b.test", "+x@a.test", "anna"] { #expect(MailboxSearch.withoutDetail(plain) == nil) }
  }
}

@Suite struct ServerLinesTests {
  @Test func searches() {
    #expect(ServerLines.isFound(["* SEARCH 4 7\r\n"]) == true)
    #expect(ServerLines.isFound(["* 3 EXISTS\r\n", "* search 4\n"]) == true)
    #expect(ServerLines.isFound(["* SEARCH\r\n"]) == false)
    #expect(ServerLines.isFound(["* SEARCH (MODSEQ 9)\r\n"]) == false)
    #expect(ServerLines.isFound(["* 3 EXISTS\r\n", "A1 OK SEARCH 4\r\n"]) == nil)
    #expect(ServerLines.isFound([]) == nil)
  }

  @Test func lists() {
    let lines = [
      "* LIST (\\HasNoChildren) \".\" INBOX\r\n", "* LIST (\\Noselect \\HasChildren) \"/\" Archive\r\n",
      "* LIST (\\HasNoChildren \\Trash) \"/\" \"Posta eliminata\"\r\n", "* LIST () NIL \"a \\\"b\\\\ c\"\r\n", "* 3 EXISTS\r\n",
      "* list () \"\\\\\" &AOA-\n",
    ]
    #expect(ServerLines.folders(lines) == ["INBOX", "\"Posta eliminata\"", "\"a \\\"b\\\\ c\"", "&AOA-"])
    #expect(ServerLines.folders([]) == [])
  }

  /// A folder that cannot be named cannot be looked into, so nothing can be said about the mailbox.
  @Test(arguments: [
    "* LIST () \"/\" {5}\r\n", "* LIST () \"/\" \"open\r\n", "* LIST () \"/\"\r\n", "* LIST () {1}\r\n", "* LIST \"/\" INBOX\r\n",
    "* LIST () \"/\" \"a\\", "* LIST (\r\n",
  ])
  func listsThatAreNotUnderstood(line: String) { #expect(ServerLines.folders([line]) == nil) }

  @Test func foldersThatAreNone() {
    #expect(ServerLines.isNoFolder("A004 NO [NONEXISTENT] Mailbox doesn't exist: x\r\n"))
    #expect(ServerLines.isNoFolder("A004 NO [NOPERM] Permission denied\r\n"))
    for other in ["A004 NO [SERVERBUG] Internal error\r\n", "A004 NO [INUSE] x\r\n", "A004 BAD x\r\n", ""] {
      #expect(!ServerLines.isNoFolder(other), "\(other)")
    }
    #expect(ServerLines.isInbox("inbox") && ServerLines.isInbox("\"INBOX\"") && !ServerLines.isInbox("INBOX.x"))
  }
}

@Suite struct MailboxSearchTests {
  private static let question = MailboxQuestion(
    holder: "a@x.test", marks: [MailboxQuestion.Mark(field: "Received", text: "id r1;")], since: 1_795_323_141)

  /// Nobody listens there: no answer, and never "absent".
  @Test func aServerThatIsAway() {
    let search = MailboxSearch(MailboxServer(url: "imap://127.0.0.1:1", user: "u", password: "p", timeoutSeconds: 5))
    #expect { try search.answer(to: Self.question) } throws: { if case MailboxSearchError.failed = $0 { true } else { false } }
    search.end()
    #expect { try search.answer(to: Self.question) } throws: { if case MailboxSearchError.timedOut = $0 { true } else { false } }
  }

  @Test func questionsThatAreNone() {
    let search = MailboxSearch(MailboxServer(url: "imap://127.0.0.1:1", user: "u", password: "p"))
    for holder in ["", "a b@x.test", "a\r\n@x.test"] {
      var question = Self.question
      question.holder = holder
      #expect { try search.answer(to: question) } throws: { if case MailboxSearchError.badQuestion = $0 { true } else { false } }
    }
  }
}
