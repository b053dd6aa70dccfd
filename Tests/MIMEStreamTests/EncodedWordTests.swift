import MIMEStream
import Testing

/// Values and what is to be read in them. Octets above 127 are written as Latin-1 characters where `latin` says so.
let encodedWordCases: [(value: String, text: String)] = [
  ("", ""),
  ("Ciao", "Ciao"),
  ("=?utf-8?Q?perch=C3=A9?=", "perché"),
  ("=?UTF-8?q?perch=c3=a9?=", "perché"),
  ("=?utf-8?B?cGVyY2jDqQ==?=", "perché"),
  ("=?UTF-8?b?cGVyY2jDqQ==?=", "perché"),
  ("=?utf8?Q?perch=C3=A9?=", "perché"),
  ("=?us-ascii?Q?Keith_Moore?=", "Keith Moore"),
  ("=?iso-8859-1?Q?perch=E9?=", "perché"),
  ("=?ISO-8859-1?B?cGVyY2jp?=", "perché"),
  ("=?iso-8859-15?Q?50_=A4?=", "50 €"),
  ("=?windows-1252?Q?=93virgolette=94_=80?=", "“virgolette” €"),
  ("=?iso-8859-1?Q?=93virgolette=94?=", "“virgolette”"),
  ("=?koi8-r?B?8NLJ18XU?=", "Привет"),
  ("=?iso-2022-jp?B?GyRCJDMkcyRLJEEkTxsoQg==?=", "こんにちは"),
  ("=?gb2312?B?xOO6ww==?=", "你好"),
  ("=?big5?B?p0GmbqFJ?=", "你好！"),
  ("=?euc-kr?B?vsiz5w==?=", "안녕"),
  ("=?shift_jis?B?g2WDWINn?=", "テスト"),
  ("=?iso-8859-2?Q?=B3=F3d=BC?=", "łódź"),
  ("=?iso-8859-7?B?yuHr5+zd8eE=?=", "Καλημέρα"),
  ("=?utf-8?Q?uno_?= =?utf-8?Q?due?=", "uno due"),
  ("=?utf-8?Q?uno?=\r\n =?utf-8?Q?due?=", "unodue"),
  ("=?utf-8?Q?uno?= due", "uno due"),
  ("uno =?utf-8?Q?due?=", "uno due"),
  ("=?utf-8?Q?uno?= due =?utf-8?Q?tre?=", "uno due tre"),
  ("a=?utf-8?Q?b?=c", "abc"),
  ("=?utf-8?Q?perch=C3?= =?utf-8?Q?=A9?=", "perché"),
  ("=?utf-8?B?cGVyY2jD?=\r\n =?utf-8?B?qQ==?=", "perché"),
  ("=?UTF-8?B?cGVyY2jD?= =?utf-8?Q?=A9?=", "perché"),
  ("=?gb2312?B?xA==?= =?gb2312?B?47rD?=", "你好"),
  ("=?iso-8859-1?Q?a=E8?= =?utf-8?Q?=C3=A8?=", "aèè"),
  ("=?x-unknown-set?Q?a=E8?=", "=?x-unknown-set?Q?a=E8?="),
  ("=?x-unknown-set?Q?a?= =?utf-8?Q?b?=", "=?x-unknown-set?Q?a?= b"),
  ("=?utf-8*it?Q?perch=C3=A9?=", "perché"),
  ("=?utf-8*?Q?x?=", "x"),
  ("=?utf-8?Q??=", ""),
  ("=?utf-8?Q?a b c?=", "a b c"),
  ("=?utf-8?Q?che??=", "che?"),
  ("=?utf-8?Q?a=?=", "a="),
  ("=?utf-8?Q?a=ZZb?=", "a=ZZb"),
  ("=?utf-8?B?cGVyY2jDqQ?=", "perché"),
  ("=?utf-8?B?cGVy Y2jDqQ==?=", "perché"),
  ("=?utf-8?X?abc?=", "=?utf-8?X?abc?="),
  ("=?utf-8?Q?abc", "=?utf-8?Q?abc"),
  ("=?utf-8?Q", "=?utf-8?Q"),
  ("=?", "=?"),
  ("=??Q?abc?=", "=??Q?abc?="),
  ("=?=?utf-8?Q?x?=", "=?x"),
  ("=?utf-8?Q?a =?utf-8?Q?b?=", "=?utf-8?Q?a b"),
  ("1 =? 2 ?= 3", "1 =? 2 ?= 3"),
  ("perché", "perché"),
  ("perché =?utf-8?Q?no?=", "perché no"),
  ("=?utf-8?Q?a=0D=0ABcc:_x?=", "a  Bcc: x"),
  ("a\r\n b", "a b"),
  ("a\r\n\tb", "a b"),
  ("a\rb\nc\0d", "a b c d"),
  ("=?utf-8?Q?=F0=9F=98=80?=", "😀"),
  ("=?utf-7?Q?+AOg-?=", "è"),
  ("=?../../etc/passwd?Q?x?=", "=?../../etc/passwd?Q?x?="),
  ("=?iso-8859-1?Q?=A1Hola,_se=F1or!?=", "¡Hola, señor!"),
]

@Suite("Encoded words")
struct EncodedWordTests {
  @Test("decoding", arguments: encodedWordCases)
  func decode(_ value: String, _ text: String) {
    #expect(EncodedWord.decode(Array(value.utf8)) == text)
  }

  @Test("octets above 127 outside of words are UTF-8, or else Latin-1")
  func raw() {
    #expect(EncodedWord.decode(Array("perch".utf8) + [0xE9]) == "perché")
    #expect(EncodedWord.decode([0xE9, 0x20] + Array("=?utf-8?Q?=C3=A9?=".utf8)) == "é é")
    #expect(EncodedWord.decode([0xFF, 0x85]) == "ÿ ")
  }

  @Test("what is encoded can be read again", arguments: 0..<30)
  func roundTrip(_ seed: Int) {
    var random = SeededRandom(UInt64(seed))
    for _ in 0..<40 {
      let source = randomText(&random)
      let column = Int.random(in: 0...75, using: &random)
      let encoded = EncodedWord.encode(source, column: column)
      let decoded = EncodedWord.decode(encoded)
      // A fold before the first word adds a space, which stands behind the field's name.
      #expect(decoded == source || (column > 52 && decoded == " " + source), "\(source.debugDescription) \(text(encoded))")
      #expect(encoded.allSatisfy { $0 < 127 && ($0 > 31 || $0 == 13 || $0 == 10) })
      for (index, line) in text(encoded).replacing("\r\n", with: "\n").split(separator: "\n", omittingEmptySubsequences: false).enumerated()
      {
        #expect(line.utf8.count + (index == 0 ? column : 0) <= 998)
        #expect(index == 0 || line.first == " ")
        #expect(index == 0 || line.contains { $0 != " " })
        for word in line.split(separator: " ") where word.hasPrefix("=?") { #expect(word.utf8.count <= 75) }
      }
    }
  }

  @Test("ASCII stays readable, and only what must be is encoded")
  func selective() {
    #expect(text(EncodedWord.encode("Domanda di iscrizione", column: 9)) == "Domanda di iscrizione")
    #expect(text(EncodedWord.encode("Anno – due", column: 9)) == "Anno =?UTF-8?B?4oCT?= due")
    #expect(text(EncodedWord.encode("perché no", column: 9)) == "=?UTF-8?Q?perch=C3=A9?= no")
    #expect(text(EncodedWord.encode("è più", column: 0)).hasPrefix("=?UTF-8?"))
    #expect(text(EncodedWord.encode("non è =?utf-8?q?x?=", column: 9)) == "non =?UTF-8?B?w6ggPT91dGYtOD9xP3g/PQ==?=")
    #expect(EncodedWord.decode(EncodedWord.encode("a\r\nBcc: x", column: 9)) == "a  Bcc: x")
  }

  @Test("lines of encoded words stay within 76", arguments: [0, 9, 30, 52])
  func width(_ column: Int) {
    let encoded = EncodedWord.encode(String(repeating: "perché così è più ", count: 40) + "fine", column: column)
    for (index, line) in text(encoded).replacing("\r\n", with: "\n").split(separator: "\n").enumerated() {
      #expect(line.utf8.count + (index == 0 ? column : 0) <= 76)
    }
  }

  @Test(
    "64 KB of beginnings is read in one pass",
    arguments: ["=?", "=?a?q?", "=?utf-8?q?x", "=?utf-8?b?", "?=", "=?utf-8?q?=", "=?u*", "=?x1?q?a?= "])
  func hostile(_ scrap: String) {
    let value = Array(String(repeating: scrap, count: 65_536 / scrap.utf8.count).utf8)
    #expect(EncodedWord.decode(value).utf8.count <= 2 * value.count)
  }

  private func randomText(_ random: inout SeededRandom) -> String {
    let scraps = [
      "a", "parola", " ", " ", "  ", "è", "perché", "–", "€", "你好", "😀", "👩‍👩‍👧", "=?", "?=", "_", "=", "?", "e\u{301}", "Ω", "\"", "(", ",",
      "@", "=?utf-8?q?x?=",
      String(repeating: " ", count: 30), String(repeating: "x", count: 80), String(repeating: "y", count: 950),
    ]
    return (0..<Int.random(in: 0...25, using: &random)).map { _ in scraps.randomElement(using: &random) ?? "" }.joined()
  }
}
