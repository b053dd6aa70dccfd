import Foundation

/// Something in a file that is against a rule of the house.
struct Finding: Equatable, CustomStringConvertible {
  var path: String
  var line: Int
  var what: String
  var description: String { "\(path):\(line): \(what)" }
}

/// An `import` and how it is written.
struct Import: Equatable {
  var module: String
  var modifiers: [String]
  var line: Int

  private static let kinds: Set<String> = ["struct", "class", "enum", "protocol", "func", "var", "let", "typealias"]

  static func all(in text: SourceText) -> [Import] {
    text.code.enumerated().compactMap { index, line in
      let words = line.utf8.split(separator: UInt8(ascii: " ")).map { String(Substring($0)) }
      guard let at = words.firstIndex(of: "import"), at + 1 < words.count else { return nil }
      let name = kinds.contains(words[at + 1]) && at + 2 < words.count ? words[at + 2] : words[at + 1]
      let module = name.utf8.prefix { $0 != UInt8(ascii: ".") && $0 != UInt8(ascii: ";") }
      return Import(module: String(Substring(module)), modifiers: Array(words[..<at]), line: index + 1)
    }
  }
}

/// The scans, each from a text to what is wrong with it, so that each can be tried on a bad sample.
enum Scanners {
  // MARK: Arrows

  static func imports(room: String, path: String, text: SourceText, manifest: Manifest) -> [Finding] {
    Import.all(in: text).compactMap { one in
      func finding(_ what: String) -> Finding { Finding(path: path, line: one.line, what: what) }
      switch one.module {
      case "Swift": return nil
      case "Foundation" where HouseRules.foundation.contains(room), "FoundationEssentials" where HouseRules.foundation.contains(room):
        return nil
      case "Glibc", "Synchronization":
        return HouseRules.bare.contains(room) ? finding("\(room) is pure and may not import \(one.module)") : nil
      case let module where manifest.fences.contains(module):
        if manifest.targets[room]?.contains(module) != true { return finding("\(room) does not declare the fence \(module)") }
        return one.modifiers == ["internal"] ? nil : finding("the fence \(module) must be imported as 'internal import'")
      case let module:
        return manifest.targets[room]?.contains(module) == true ? nil : finding("\(room) does not declare \(module) in Package.swift")
      }
    }
  }

  /// Arrows go down only, and rooms of input and output do not know each other.
  static func arrows(_ manifest: Manifest) -> [String] {
    let all = HouseRules.ground.union(HouseRules.pure).union(HouseRules.inputOutput).union(HouseRules.top)
    return manifest.targets.sorted { $0.key < $1.key }.flatMap { room, dependencies -> [String] in
      if manifest.fences.contains(room) { return [] }
      guard all.contains(room) else { return ["\(room) stands on no floor: give it one in HouseRules"] }
      let lower: Set<String>
      switch room {
      case _ where HouseRules.ground.contains(room): lower = HouseRules.ground
      case _ where HouseRules.pure.contains(room): lower = HouseRules.ground.union(HouseRules.pure)
      case _ where HouseRules.inputOutput.contains(room): lower = HouseRules.ground.union(HouseRules.pure)
      default: lower = all
      }
      var wrong = dependencies.intersection(all).subtracting(lower)
      if HouseRules.bare.contains(room) { wrong.formUnion(dependencies.intersection(manifest.products.union(manifest.fences))) }
      return wrong.sorted().map { "\(room) may not depend on \($0)" }
    }
  }

  // MARK: Size

  static func fileSize(path: String, lines: Int) -> [Finding] {
    lines > HouseRules.fileLines && HouseRules.longer[path] == nil
      ? [Finding(path: path, line: lines, what: "\(lines) lines; a file of more than \(HouseRules.fileLines) is two things")] : []
  }

  static func functionSizes(path: String, text: SourceText) -> [Finding] {
    var findings: [Finding] = []
    for (index, line) in text.code.enumerated() {
      guard ["func ", "init", "subscript"].contains(where: { line.contains($0) }),
        let match = line.firstMatch(of: /^[^=]*?\b(?:func\s+([^\s(<]+)|(init|subscript)[?!]?\s*[(<]|(deinit)\b)/),
        !line.contains("self.init("),
        !line.contains(".init(")
      else { continue }
      let name = String(match.1 ?? match.2 ?? match.3 ?? "")
      guard let last = end(ofFunctionAt: index, in: text.code) else { continue }
      let length = last - index + 1
      if length > HouseRules.functionLines, HouseRules.longer["\(path):\(name)"] == nil {
        findings.append(
          Finding(path: path, line: index + 1, what: "\(name) has \(length) lines; more than \(HouseRules.functionLines) is two things"))
      }
    }
    return findings
  }

  /// The line of the brace that closes the function's body; nil for a requirement of a protocol, which has none.
  private static func end(ofFunctionAt start: Int, in code: [String]) -> Int? {
    var parentheses = 0
    var braces = 0
    var opened = false
    for index in start..<code.count {
      // A requirement ends with its line, unless the line leaves something open.
      if !opened, index > start, parentheses == 0, code[index].firstMatch(of: /^\s*(->|where\b|throws\b|async\b|\{|\))/) == nil {
        return nil
      }
      for letter in code[index].utf8 {
        switch letter {
        case UInt8(ascii: "("), UInt8(ascii: "["): parentheses += 1
        case UInt8(ascii: ")"), UInt8(ascii: "]"): parentheses -= 1
        case UInt8(ascii: "{") where parentheses == 0 || opened:
          braces += 1
          opened = true
        case UInt8(ascii: "}") where opened: braces -= 1
        case UInt8(ascii: "}") where parentheses == 0: return nil
        default: break
        }
        if opened, braces == 0 { return index }
      }
    }
    return nil
  }

  // MARK: Words

  // Put together so that these words do not stand in this file either.
  private static let leftOvers = ["TO" + "DO", "FIX" + "ME", "XX" + "X"]

  static func words(room: String, path: String, text: SourceText) -> [Finding] {
    var findings: [Finding] = []
    for (index, line) in text.lines.enumerated() {
      for word in leftOvers where hasWord(word, line) {
        findings.append(Finding(path: path, line: index + 1, what: "\(word) is left over"))
      }
    }
    for (index, line) in text.code.enumerated() {
      func add(_ what: String) { findings.append(Finding(path: path, line: index + 1, what: what)) }
      if line.contains("try!") { add("'try!' ends the process") }
      if hasWord("fatalError", line) { add("'fatalError' ends the process") }
      for word in ["sleep", "usleep", "nanosleep"] where hasWord(word, line) { add("'\(word)' holds a thread up") }
      if line.contains("print("), hasWord("print", line), !HouseRules.talkers.contains(room) { add("'print' is not for \(room)") }
      if !HouseRules.isFence(room, path), let word = sharpTool(line) { add("'\(word)' belongs behind a fence, not into \(room)") }
    }
    return findings
  }

  private static func sharpTool(_ line: String) -> String? {
    guard line.contains("nsafe") || line.contains("Unmanaged") || line.contains("@unchecked") else { return nil }
    if line.contains("@unchecked") { return "@unchecked" }
    return identifiers(line).first { $0 == "unsafe" || $0 == "Unmanaged" || $0.contains("Unsafe") }
  }

  private static func hasWord(_ word: String, _ line: String) -> Bool { line.contains(word) && identifiers(line).contains(word) }

  private static func identifiers(_ line: String) -> [String] {
    line.utf8.split { !(($0 | 0x20) >= 97 && ($0 | 0x20) <= 122 || $0 >= 48 && $0 <= 57 || $0 == UInt8(ascii: "_")) }.compactMap {
      String($0)
    }
  }

  // MARK: Documentation

  private static let modifiers: Set<String> = [
    "indirect", "final", "static", "mutating", "consuming", "borrowing", "nonisolated", "override", "convenience", "required",
  ]
  private static let documented: Set<String> = ["func", "struct", "class", "enum", "protocol", "init", "typealias", "actor"]

  static func documentation(path: String, text: SourceText) -> [Finding] {
    text.code.enumerated().compactMap { index, line in
      guard line.contains("public "), let kind = publicKind(line) else { return nil }
      // An initialiser without parameters and body has nothing to say.
      if kind == "init", line.contains("init() {}") { return nil }
      var above = index - 1
      while above >= 0, ["@", "#"].contains(text.code[above].drop { $0 == " " }.first) { above -= 1 }
      if above >= 0, text.lines[above].drop(while: { $0 == " " }).hasPrefix("///") { return nil }
      return Finding(path: path, line: index + 1, what: "public \(kind) without a doc comment")
    }
  }

  /// What the line declares as public, of the kinds that need a comment.
  private static func publicKind(_ line: String) -> String? {
    let words = line.utf8.split(separator: UInt8(ascii: " ")).map { String(Substring($0)) }
    guard let at = words.firstIndex(of: "public"), words[..<at].allSatisfy({ $0.hasPrefix("@") || modifiers.contains($0) }) else {
      return nil
    }
    let rest = words[(at + 1)...].drop { modifiers.contains($0) }
    return rest.first.flatMap { identifiers($0).first }.flatMap { documented.contains($0) ? $0 : nil }
  }

  // MARK: Places

  /// Paths of a developer's machine have no business in the tree.
  static func places(path: String, text: String) -> [Finding] {
    let places = ["/wo" + "rk/", "/tmp/mini-", "/Users/", "/home/"]
    return text.split(separator: "\n", omittingEmptySubsequences: false).enumerated().flatMap { index, line in
      places.filter { line.contains($0) }.map { Finding(path: path, line: index + 1, what: "names the place '\($0)'") }
    }
  }
}
