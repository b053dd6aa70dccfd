import Foundation

/// What Package.swift says about targets, read from its text: running the package manager here would take longer than all tests.
struct Manifest {
  /// Dependencies of each target in Sources, by module name.
  private(set) var targets: [String: Set<String>] = [:]
  /// Targets that are C: module maps and C sources.
  private(set) var fences: Set<String> = []
  /// Modules of other packages.
  private(set) var products: Set<String> = []

  init(_ text: String) {
    var modules: [String: String] = [:]
    for match in text.matches(of: /let\s+(\w+)\s*=\s*Target\.Dependency\.product\(\s*name:\s*"(\w+)"/) {
      modules[String(match.1)] = String(match.2)
    }
    products = Set(modules.values)
    let body = text.range(of: "targets: [\n").map { text[$0.upperBound...] } ?? text[...]
    for match in body.matches(of: /(\broom|\.systemLibrary|\.target|\.executableTarget)\(\s*(?:name:\s*)?"([\w-]+)"/) {
      let name = String(match.2)
      let rest = Manifest.arguments(body[match.range.upperBound...])
      // What measures rooms is none.
      if rest.contains("path: \"Benchmarks/") { continue }
      let isC = match.1 == ".systemLibrary" || !rest.contains("swiftSettings") && match.1 == ".target"
      if isC { fences.insert(name) }
      targets[name] = isC ? [] : Manifest.dependencies(rest, modules)
    }
  }

  /// The text up to the parenthesis that closes the call.
  private static func arguments(_ text: Substring) -> Substring {
    var depth = 1
    for index in text.indices {
      switch text[index] {
      case "(", "[": depth += 1
      case ")", "]": depth -= 1
      default: break
      }
      if depth == 0 { return text[..<index] }
    }
    return text
  }

  /// The names in the first list: strings are targets, words are products.
  private static func dependencies(_ arguments: Substring, _ modules: [String: String]) -> Set<String> {
    guard let open = arguments.firstIndex(of: "["), let close = arguments[open...].firstIndex(of: "]") else { return [] }
    let names = arguments[open..<close].matches(of: /"(\w+)"|\b([a-z]\w*)\b/).map { match in
      match.1.map(String.init) ?? match.2.map { modules[String($0)] ?? String($0) } ?? ""
    }
    return Set(names)
  }
}
