import ScannerWork

#if canImport(Glibc)
  import Glibc
#endif

let usage = """
  usage: ceralacca-scanner --self-test --key FILE [--database PATH] [--user NAME]
         ceralacca-scanner --version

  Scans messages for ceralacca, which starts it by itself with a channel as descriptor 3: by hand there are only these two uses.

    --self-test      confine a scanner as in earnest, have it try what it must not do, and print what came of it;
                     exit code 0 only when everything was denied
    --key FILE       a file that must not be readable for it: the provider's signing key
    --database PATH  load these signatures too (absolute path), and scan with them
    --user NAME      whom to become when started as root (default: nobody)
    --version        name and version of the engine

  """

/// The values of the options, each at most once; nil when there is anything else.
func options(_ words: ArraySlice<String>) -> [String: String]? {
  var found: [String: String] = [:]
  var rest = words
  while let name = rest.popFirst() {
    guard ["--key", "--database", "--user"].contains(name), let value = rest.popFirst(), found[name] == nil else { return nil }
    found[name] = value
  }
  return found
}

let words = CommandLine.arguments.dropFirst()
switch words.first {
case nil:
  if let control = Scanner.control() { exit(Scanner.run(control)) }
case "--version" where words.count == 1:
  print("ceralacca-scanner (\(Scanner.version))")
  exit(0)
case "--help" where words.count == 1:
  print(usage, terminator: "")
  exit(0)
case "--self-test":
  if let options = options(words.dropFirst()), let key = options["--key"] {
    let test = SelfTest.run(keyFile: key, database: options["--database"], user: options["--user"])
    print(test.text, terminator: "")
    exit(test.isPassed ? 0 : 1)
  }
default: break
}
print(usage, terminator: "")
exit(64)
