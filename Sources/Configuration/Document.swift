internal import Yams

/// A place in the file, counted from 1.
struct Place: Sendable, Comparable {
  var line: Int
  var column: Int

  static func < (one: Place, other: Place) -> Bool { (one.line, one.column) < (other.line, other.column) }

  init(_ mark: Mark?) {
    line = mark?.line ?? 1
    column = mark?.column ?? 1
  }
}

/// Gathers what is wrong, so that all of it is said at once.
final class ProblemLog {
  private let file: String
  private var found: [ConfigurationProblem] = []

  init(file: String) { self.file = file }

  func add(_ place: Place?, key: String = "", _ what: String, _ remedy: String) {
    let problem = ConfigurationProblem(
      file: file, line: place?.line ?? 0, column: place?.column ?? 0, key: key, what: what, remedy: remedy)
    if !found.contains(problem) { found.append(problem) }
  }

  /// In the order of the file; what belongs to no place comes first.
  var problems: [ConfigurationProblem] {
    found.enumerated().sorted { one, other in
      (one.element.line, one.element.column, one.offset) < (other.element.line, other.element.column, other.offset)
    }.map(\.element)
  }
}

/// The YAML of a file as a tree with places.
///
/// The parser stops at the first mapping that has a key twice. So that the rest is checked all the same, the first of the two is
/// blotted out in the text, letter for letter so that places stay right, and the text is parsed again; `Section` says where it met a blot.
struct Document {
  private(set) var root: Node?
  /// Keys that were blotted out, by the text they were blotted out with.
  private(set) var blots: [String: (key: String, place: Place)] = [:]

  /// Private-use letters cannot stand in a key that is known here, so a blot cannot be mistaken for one.
  private static let firstBlot: UInt32 = 0xe000
  private static let mostBlots: UInt32 = 200

  init(_ text: String, log: ProblemLog) {
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { Array($0.unicodeScalars) }
    while true {
      let source = lines.map { line in String(String.UnicodeScalarView(line)) }.joined(separator: "\n")
      do {
        root = try Parser(yaml: source, encoding: .utf8).singleRoot()
        return
      } catch let error as YamlError {
        if case .duplicatedKeysInMapping(_, let context) = error, blot(Place(context.mark), in: &lines) { continue }
        Document.report(error, lines: lines, log: log)
      } catch {
        log.add(nil, "the file is not valid YAML: \(error)", "mend the file's syntax")
      }
      return
    }
  }

  /// Blots out the plain or quoted key that begins at `place`. False when there is none, as with keys that are no simple words.
  private mutating func blot(_ place: Place, in lines: inout [[Unicode.Scalar]]) -> Bool {
    guard blots.count < Document.mostBlots, lines.indices.contains(place.line - 1) else { return false }
    let line = lines[place.line - 1]
    var start = place.column - 1
    if line.indices.contains(start), line[start] == "\"" || line[start] == "'" { start += 1 }
    guard line.indices.contains(start) else { return false }
    let key = line[start...].prefix { $0.properties.isAlphabetic || $0.properties.numericType != nil || $0 == "_" || $0 == "-" }
    guard !key.isEmpty, let letter = Unicode.Scalar(Document.firstBlot + UInt32(blots.count)) else { return false }
    lines[place.line - 1].replaceSubrange(key.indices, with: Array(repeating: letter, count: key.count))
    let blot = String(String.UnicodeScalarView(Array(repeating: letter, count: key.count)))
    blots[blot] = (String(String.UnicodeScalarView(key)), place)
    return true
  }

  /// The slips that are likeliest here are "*" and "::1" without quotes.
  private static func remedy(at place: Place, in line: [Unicode.Scalar]) -> String {
    let near = [place.column - 1, place.column - 2].filter { line.indices.contains($0) }.map { line[$0] }
    guard let sign = near.first(where: { "*:&!@%`".unicodeScalars.contains($0) }) else { return "look at this line and the one before it" }
    return "put a value that begins with '\(sign)' in double quotes"
  }

  private static func report(_ error: YamlError, lines: [[Unicode.Scalar]], log: ProblemLog) {
    switch error {
    case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
      .composer(let context, let problem, let mark, _):
      let place = Place(mark)
      let line = lines.indices.contains(place.line - 1) ? lines[place.line - 1] : []
      if line.prefix(while: { $0 == " " || $0 == "\t" }).contains("\t") {
        log.add(place, "a tab is used for indentation, which YAML does not allow", "indent with spaces")
      } else {
        let about = context.map { " (\($0.text))" } ?? ""
        log.add(place, "the file is not valid YAML: \(problem)\(about)", remedy(at: place, in: line))
      }
    case .duplicatedKeysInMapping(let keys, let context):
      log.add(Place(context.mark), key: keys.first ?? "", "is there more than once", "keep one of them")
    case .reader(let problem, _, _, _):
      log.add(nil, "the file is not valid YAML: \(problem)", "remove control characters and save the file as UTF-8")
    case .no, .memory, .writer, .emitter, .representer, .dataCouldNotBeDecoded:
      log.add(nil, "the file is not valid YAML: \(error)", "mend the file's syntax")
    }
  }
}
