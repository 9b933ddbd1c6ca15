"""run.py RESULTS MODULE [CASE...]: runs tests of CPython and appends a line a case to RESULTS.

"begin NAME", then "NAME OUTCOME"; OUTCOME is ok, FAIL, ERROR or skipped. What a case prints is not looked at.
"""
import sys
import unittest

RESULTS, MODULE, CASES = sys.argv[1], sys.argv[2], sys.argv[3:]


def note(line):
    # Opened anew for each line: a descriptor that stays open would be seen by cases that count them.
    with open(RESULTS, "a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(line.replace("\n", " ") + "\n")


class Result(unittest.TextTestResult):
    def startTest(self, test):
        super().startTest(test)
        self.worst = "ok"
        note("begin " + test.id())

    def stopTest(self, test):
        note(test.id() + " " + self.worst)
        super().stopTest(test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.spoil(test, "FAIL")

    def addError(self, test, err):
        super().addError(test, err)
        self.spoil(test, "ERROR")

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.spoil(test, "FAIL")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.worst = "skipped"

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.worst = "FAIL" if issubclass(err[0], test.failureException) else "ERROR"

    def spoil(self, test, outcome):
        self.worst = outcome
        # What fails before or behind all cases of a class is reported under a name of its own.
        if not isinstance(test, unittest.TestCase):
            note(test.id().replace(" ", "_") + " " + outcome)


# Root may use them, and where the machine is virtual and its host does not answer, they wait for ever.
LEFT_OUT = ("test.test_socket.ThreadedVSOCKSocketStreamTest.",)


def cases(suite):
    for part in suite:
        if isinstance(part, unittest.TestSuite):
            yield from cases(part)
        elif not part.id().startswith(LEFT_OUT):
            yield part


if __name__ == "__main__":
    names = ["test." + MODULE] if not CASES else CASES
    suite = unittest.TestSuite(cases(unittest.defaultTestLoader.loadTestsFromNames(names)))
    unittest.TextTestRunner(verbosity=2, resultclass=Result).run(suite)
    note("end")
