internal import Yams

/// A value in the file: what it is, where it stands and which key it belongs to.
struct Setting {
  var node: Node
  /// The key with those it stands in.
  var key: String
  /// Where the key stands; for an item of a list, where the item does.
  var keyPlace: Place
  var place: Place { Place(node.mark) }

  /// What the file has there, for a message.
  var seen: String {
    switch node {
    case .scalar(let scalar): isNull ? "has no value" : "is '\(scalar.string.prefix(60))'"
    case .mapping: "is a group of keys"
    case .sequence: "is a list"
    case .alias: "is an alias"
    }
  }

  /// Nothing, `~` or `null`, without quotes.
  var isNull: Bool {
    guard case .scalar(let scalar) = node, scalar.style == .plain || scalar.style == .any else { return false }
    return ["", "~", "null", "Null", "NULL"].contains(scalar.string)
  }
}

/// A group of keys of the file, read key by key. What is wrong goes to the log, and reading goes on.
struct Section {
  let key: String
  let place: Place
  let log: ProblemLog
  private let values: [String: Setting]
  /// Keys that a misspelled one resembles: they are not missing.
  private let meant: Set<String>

  /// - Parameter known: the keys that the group may have; others are reported, each with the known one it resembles.
  init?(_ setting: Setting, known: [String], document: Document, log: ProblemLog) {
    guard case .mapping(let mapping) = setting.node else {
      let subject = setting.key.isEmpty ? "the file " : ""
      let keys = "give it the \(known.count == 1 ? "key" : "keys") \(Section.list(known))"
      log.add(setting.place, key: setting.key, "\(subject)\(setting.seen), but must be a group of keys", keys)
      return nil
    }
    var values: [String: Setting] = [:]
    var blotted: [String: Place] = [:]
    var meant: Set<String> = []
    for (name, value) in mapping {
      guard case .scalar(let scalar) = name else {
        log.add(Place(name.mark), key: setting.key, "has a key that is not a word", "use only the keys \(Section.list(known))")
        continue
      }
      let place = Place(name.mark)
      if let blot = document.blots[scalar.string] {
        blotted[blot.key] = min(blotted[blot.key] ?? blot.place, blot.place)
        continue
      }
      let path = Section.path(setting.key, scalar.string)
      if known.contains(scalar.string) {
        values[scalar.string] = Setting(node: value, key: path, keyPlace: place)
      } else {
        let nearest = Resemblance.nearest(to: scalar.string, among: known)
        if let nearest { meant.insert(nearest) }
        log.add(place, key: path, "is not known", nearest.map { "did you mean '\($0)'?" } ?? "the keys here are \(Section.list(known))")
      }
      if let first = blotted[scalar.string] {
        log.add(place, key: path, "is there more than once, first in line \(first.line)", "keep one of them")
      }
    }
    (key, place, self.log, self.values, self.meant) = (setting.key, setting.keyPlace, log, values, meant)
  }

  static func path(_ outer: String, _ name: String) -> String { outer.isEmpty ? name : "\(outer).\(name)" }

  static func list(_ words: [String], _ conjunction: String = "and") -> String {
    guard let last = words.last, words.count > 1 else { return words.first ?? "" }
    return words.dropLast().joined(separator: ", ") + " \(conjunction) " + last
  }

  /// A setting that may be missing. A key without a value counts as missing, and is said to have none.
  func optional(_ name: String) -> Setting? {
    guard let setting = values[name] else { return nil }
    if setting.isNull {
      log.add(setting.keyPlace, key: setting.key, "has no value", "give it one, or remove the key")
      return nil
    }
    return setting
  }

  /// A setting that must be there.
  /// - Parameter example: what a line for it may look like.
  func required(_ name: String, example: String) -> Setting? {
    required(name, remedy: "add it, for example '\(name): \(example)'")
  }

  /// A setting that must be there.
  /// - Parameter remedy: what to do when it is not.
  func required(_ name: String, remedy: String) -> Setting? {
    if values[name] == nil, !meant.contains(name) { log.add(place, key: Section.path(key, name), "is missing", remedy) }
    return optional(name)
  }

  func has(_ name: String) -> Bool { values[name] != nil }

  /// Reports a key that is known but has no business here.
  func refuse(_ name: String, _ what: String, _ remedy: String) {
    guard let setting = values[name] else { return }
    log.add(setting.keyPlace, key: setting.key, what, remedy)
  }

  /// A text: any scalar, as it is written.
  func text(_ setting: Setting?) -> String? {
    guard let setting else { return nil }
    guard case .scalar(let scalar) = setting.node else {
      log.add(setting.place, key: setting.key, "\(setting.seen), but must be a text", "write it on one line after the key")
      return nil
    }
    guard !scalar.string.isEmpty, !scalar.string.unicodeScalars.contains(where: { $0.value < 32 || $0.value == 127 }) else {
      log.add(setting.place, key: setting.key, "is empty or has line breaks or control characters", "write a text of one line")
      return nil
    }
    return scalar.string
  }

  /// One word of a few.
  func choice<Choice: RawRepresentable & CaseIterable>(_ setting: Setting?, _: Choice.Type) -> Choice? where Choice.RawValue == String {
    guard let setting, let text = text(setting) else { return nil }
    if let choice = Choice(rawValue: text) { return choice }
    let words = Choice.allCases.map(\.rawValue)
    let advice = Resemblance.nearest(to: text, among: words).map { "did you mean '\($0)'?" }
    log.add(setting.place, key: setting.key, setting.seen + ", which is not known", advice ?? "write \(Section.list(words, "or"))")
    return nil
  }

  /// Yes or no.
  func flag(_ setting: Setting?) -> Bool? { choice(setting, Flag.self).map { $0 == .yes } }

  private enum Flag: String, CaseIterable {
    case yes = "true"
    case no = "false"
  }

  /// A whole number without quotes.
  func whole(_ setting: Setting?, _ range: ClosedRange<Int>) -> Int? {
    number(setting, Double(range.lowerBound)...Double(range.upperBound), whole: true).map { Int($0) }
  }

  /// A number without quotes.
  /// - Parameter orElse: what else the key may have, for the messages.
  func number(_ setting: Setting?, _ range: ClosedRange<Double>, whole: Bool, orElse: String = "") -> Double? {
    guard let setting else { return nil }
    let kind = whole ? "a whole number" : "a number"
    let form = kind + orElse
    let bounds = "from \(LimitKey.text(range.lowerBound)) to \(LimitKey.text(range.upperBound))"
    let remedy = "write \(kind) \(bounds)\(orElse.isEmpty ? "" : "," + orElse)"
    guard case .scalar(let scalar) = setting.node else {
      log.add(setting.place, key: setting.key, "\(setting.seen), but must be \(form)", remedy)
      return nil
    }
    let digits = scalar.string.hasPrefix("-") ? scalar.string.dropFirst() : scalar.string[...]
    let plain = digits.utf8.allSatisfy { ($0 >= 48 && $0 <= 57) || $0 == UInt8(ascii: ".") }
    guard plain, digits.count <= 24, let value = Double(scalar.string), digits.utf8.first != UInt8(ascii: ".") else {
      log.add(setting.place, key: setting.key, "\(setting.seen), but must be \(form)", remedy)
      return nil
    }
    guard scalar.style == .plain else {
      log.add(setting.place, key: setting.key, "is a text, because of its quotes, but must be \(form)", "take the quotes off")
      return nil
    }
    guard !whole || !digits.contains(".") else {
      log.add(setting.place, key: setting.key, "\(setting.seen), but must be \(form)", remedy)
      return nil
    }
    guard range.contains(value) else {
      log.add(setting.place, key: setting.key, "\(setting.seen), which is out of range", remedy)
      return nil
    }
    return value
  }

  /// A list that is not empty; nil when it is none.
  func items(_ setting: Setting?, of what: String) -> [Setting]? {
    guard let setting else { return nil }
    guard case .sequence(let sequence) = setting.node else {
      log.add(
        setting.place, key: setting.key, "\(setting.seen), but must be a list",
        "write \(what) in square brackets, or each on a line after '- '")
      return nil
    }
    guard !sequence.isEmpty else {
      log.add(setting.place, key: setting.key, "is an empty list", "name at least one of \(what)")
      return nil
    }
    return sequence.enumerated().map { index, node in
      Setting(node: node, key: "\(setting.key)[\(index)]", keyPlace: Place(node.mark))
    }
  }
}

/// Finds what somebody may have meant.
enum Resemblance {
  /// The word nearest to `word`, if it is near enough to be a slip of the pen.
  static func nearest(to word: String, among words: [String]) -> String? {
    let allowed = max(1, min(3, word.count / 3))
    let scored = words.map { (word: $0, distance: distance(word.lowercased(), $0.lowercased())) }
    guard word.count <= 60, let best = scored.min(by: { $0.distance < $1.distance }), best.distance <= allowed else { return nil }
    return best.word
  }

  /// Letters to add, remove, change, or swap with their neighbour to make one word of the other (Damerau-Levenshtein, restricted).
  static func distance(_ one: String, _ other: String) -> Int {
    let (one, other) = (Array(one), Array(other))
    if one.isEmpty || other.isEmpty { return max(one.count, other.count) }
    var before: [Int] = []
    var last = Array(0...other.count)
    for i in 1...one.count {
      var row = [i]
      for j in 1...other.count {
        var best = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (one[i - 1] == other[j - 1] ? 0 : 1))
        if i > 1, j > 1, one[i - 1] == other[j - 2], one[i - 2] == other[j - 1] { best = min(best, before[j - 2] + 1) }
        row.append(best)
      }
      (before, last) = (last, row)
    }
    return last[other.count]
  }
}
