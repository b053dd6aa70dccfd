import Octets
import PEC

/// The file `dati.txt`: what an extract is about, for programs. A fact on each line, read only in the form in which it is written:
///
/// ```
/// versione: 1
/// gestore: Gestore di prova S.p.A.
/// titolare: anna@pec.example.org
/// motivo: su richiesta del titolare
/// emesso: 1795254266 3600
/// omesse: 0
/// domanda: Mittente: anna@pec.example.org
/// marca: 5 marca-1.tst sigillo.p7m 1795254300 CN = TSA
/// ```
struct ExtractData: Equatable {
  struct Stamp: Equatable {
    var seal: Int64
    var name: String
    var covers: String
    var unixSeconds: Int64
    var authority: String
  }

  var provider: String
  var holder: String
  var order: String
  var instant: Instant
  var withheld: Int
  var question: [ExtractFact]
  var stamps: [Stamp]

  init(_ matter: ExtractMatter) {
    provider = ExtractData.line(matter.provider)
    holder = ExtractData.line(matter.holder)
    order = ExtractData.line(matter.order)
    instant = matter.instant
    withheld = matter.withheld
    question = matter.question.map { ExtractFact(ExtractData.name($0.name), ExtractData.line($0.value)) }
    stamps = matter.seals.flatMap { seal in
      seal.stamps.map {
        Stamp(
          seal: seal.number, name: $0.name, covers: $0.covers, unixSeconds: $0.unixSeconds, authority: ExtractData.line($0.authority))
      }
    }
  }

  /// One line of words: what would end it, or act, is shown instead.
  private static func line(_ text: String) -> String { Shown.text(text).trimmed }
  private static func name(_ text: String) -> String { line(text).split(separator: ":").joined(separator: " ").trimmed }

  var octets: [UInt8] {
    var lines = [
      "versione: 1", "gestore: \(provider)", "titolare: \(holder)", "motivo: \(order)",
      "emesso: \(instant.unixSeconds) \(instant.utcOffsetSeconds)", "omesse: \(withheld)",
    ]
    lines += question.map { "domanda: \($0.name): \($0.value)" }
    lines += stamps.map { "marca: \($0.seal) \($0.name) \($0.covers) \($0.unixSeconds) \($0.authority)" }
    return Array(lines.map { $0 + "\n" }.joined().utf8)
  }

  /// Far beyond the year 9999, and far from where calendars overflow. `abs` would trap on the least number: anybody can write it here.
  private static func isTime(_ seconds: Int64) -> Bool { seconds.magnitude < 1 << 40 }

  /// Reads what `octets` wrote, and nothing else.
  init?(reading octets: [UInt8]) {
    guard octets.count <= 1 << 20, let text = String(validating: octets, as: UTF8.self) else { return nil }
    var lines = text.utf8.split(separator: 10, omittingEmptySubsequences: false).map { Substring($0) }[...]
    func take(_ name: String) -> String? {
      // By octets: what follows the space may be a mark that would make one letter with it.
      let head = Array("\(name): ".utf8)
      guard let line = lines.first, line.utf8.starts(with: head) else { return nil }
      lines.removeFirst()
      return String(Substring(line.utf8.dropFirst(head.count)))
    }
    guard take("versione") == "1", let provider = take("gestore"), let holder = take("titolare"), let order = take("motivo"),
      let moment = take("emesso")?.split(separator: " "), moment.count == 2, let seconds = Int64(moment[0]), let offset = Int(moment[1]),
      ExtractData.isTime(seconds), offset.magnitude <= 86_400, let withheld = take("omesse").flatMap({ Int($0) }), withheld >= 0
    else { return nil }
    self.provider = provider
    self.holder = holder
    self.order = order
    self.withheld = withheld
    instant = Instant(unixSeconds: seconds, utcOffsetSeconds: offset)
    question = []
    stamps = []
    while let fact = take("domanda") {
      guard let colon = fact.utf8.firstIndex(of: UInt8(ascii: ":")) else { return nil }
      question.append(ExtractFact(String(fact[..<colon]), String(Substring(fact.utf8[colon...].dropFirst(2)))))
    }
    while let stamp = take("marca") {
      let words = stamp.utf8.split(separator: 32, maxSplits: 4, omittingEmptySubsequences: false).map { String(Substring($0)) }
      guard words.count == 5, let seal = Int64(words[0]), let seconds = Int64(words[3]), ExtractData.isTime(seconds) else {
        return nil
      }
      stamps.append(Stamp(seal: seal, name: words[1], covers: words[2], unixSeconds: seconds, authority: words[4]))
    }
    guard self.octets == octets else { return nil }
  }
}

extension String {
  fileprivate var trimmed: String {
    let start = self.drop { $0 == " " }
    guard let last = start.lastIndex(where: { $0 != " " }) else { return "" }
    return String(start[...last])
  }
}
