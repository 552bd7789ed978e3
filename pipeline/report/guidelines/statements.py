"""What only the people of a study can say: keys of `statements` in configs/report.yaml."""

from pipeline.config import Settings


class Statements(Settings):
    """A sentence or two each; empty where nobody said anything yet.

    Guidelines ask for them; the report shows the words as they are, or that they are to be filled in.
    """

    context: str = ""
    """Clinical setting, and why a model is needed beside earlier ones."""
    care_pathway: str = ""
    """For whom the model is meant, and where in care."""
    users: str = ""
    """Who uses it, what they must do and know."""
    design: str = ""
    """Prospective or retrospective."""
    source: str = ""
    """Where the images are from, why these, whom they stand for."""
    license: str = ""
    """Of the images and labels."""
    dates: str = ""
    """From when to when patients were included."""
    setting: str = ""
    """Kind, number and place of the centers."""
    eligibility: str = ""
    """Who could take part."""
    treatments: str = ""
    """Of the patients, where they matter to the images."""
    demographics: str = ""
    """Age, sex and what else is known of the patients, by split where they differ."""
    inequalities: str = ""
    """Known inequalities between groups of people."""
    fairness: str = ""
    """What was done for fairness between people, and why."""
    acquisition: str = ""
    """Staining or contrast, instrument, objective, wavelengths."""
    deidentification: str = ""
    """How identities were removed."""
    outcome: str = ""
    """What tumor means here, and how it was found."""
    outcome_reason: str = ""
    """Why this is taken for the truth."""
    annotators: str = ""
    """Who drew the outlines or gave the labels, with which training."""
    test_annotation: str = ""
    """The same of the test patients, where it was otherwise."""
    rater_agreement: str = ""
    """How far annotators agree, between each other and with themselves."""
    blinding: str = ""
    """What annotators knew and did not know."""
    sample_size: str = ""
    """How the number of patients was decided."""
    ethics: str = ""
    """Who approved the study, and how patients consented."""
    funding: str = ""
    """Who paid, and what part they had."""
    conflicts: str = ""
    """Interests of the authors."""
    protocol: str = ""
    """Where the protocol is, or that there is none."""
    registration: str = ""
    """Register and number, or that the study is not registered."""
    data_availability: str = ""
    """Whether and how others can have the data."""
    code_availability: str = ""
    """Whether and how others can have code and model."""
    involvement: str = ""
    """What part patients and the public had, or none."""
    interpretation: str = ""
    """What the results mean for practice, beside earlier studies."""
    next_steps: str = ""
    """Of research."""

    def of(self, name: str) -> str:
        """The words under a key.

        Raises:
            AttributeError: no such key.
        """
        return str(getattr(self, name)).strip()
